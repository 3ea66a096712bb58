"""Architecture search: the placements that are most accurate within a budget.

- `config`, `choices`, `goals`: what is searched, and for what
- `setup`: a search before its first trial
- `costs`: what candidates cost, many at a time
- `study`, `storage`: Optuna's study, and its database
- `plan`: a request completed to a whole search, priced without training
- `run`: the loop that asks, trains and reports
- `jobs`, `objective`: what engines run, and what a candidate is worth
- `race`, `records`: seeds for the candidates that are not ruled out
- `confirm`, `result`, `importance`, `sensitivity`: fresh seeds for the front, what was found, which
  choices matter, and which sites carry a gain
- `folder`: the folder of a search

The package is not called `search`, since `bamctl.search` is the function.
"""
