"""From each result to a report: one module for each command."""
