"""Placements: which cut points get which attention module, and what that may cost.

- `placement`: `Placement`, as a YAML file says it, and the placements that are shipped
- `sites`: from a placement to its sites in one network
- `cost`: what the sites add to a network, in closed form
- `budget`: limits beside a placement
- `metrics`: the literal `METRICS`, which budgets, baselines and searches share
"""
