"""Views, which turn a result into a report: one module for each command."""
