"""Budgets: hold placements to limits and to an accepted baseline, as in CI.

- `check`: every limit against its figure, with a verdict
- `targets`: the placement files that are checked
- `figures`: what a network costs by each metric, without and with attention
- `baseline`: figures that a team accepted
- `starter`: a placement to start from, with a budget
"""
