"""Tasks: what a network is trained to answer, its loss, and the measure that judges it."""
