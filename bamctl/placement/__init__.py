"""Placements: which cut points get which attention module, and the limits of their cost.

- `placement`: `Placement`, the schema of a YAML file, and the shipped placements
- `sites`: resolution of a placement to its sites in one network
- `cost`: the cost of the sites, in closed form
- `budget`: the limits of a placement's cost
- `metrics`: the literal `METRICS`, which budgets, baselines and searches share
"""
