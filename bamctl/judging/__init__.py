"""Verdicts on results that exist already, of anybody's training loop."""
