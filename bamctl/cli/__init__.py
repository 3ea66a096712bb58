"""The command line: each command parses, calls the library, renders, and returns an exit code.

- `app`: the program, and the one place where errors become exit codes
- `commands`: one module for each command
- `options`: groups of options that commands share
- `messages`, `progress`, `streams`: lines on standard error, bars, and standard output for results
  alone
- `cache`: reports of earlier analyses
- `faults`, `command_line`: errors of other libraries; the command line without passwords
"""
