"""The command line: each command parses, calls the library, renders, and returns an exit code."""
