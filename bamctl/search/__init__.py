"""Search over placements: which cut points get a module, and which, for the most accuracy."""
