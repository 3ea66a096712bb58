"""Output formats: one module for each, and the literal `formats.FORMATS`."""
