"""Output formats: one module for each, and the literal `renderers.RENDERERS`."""
