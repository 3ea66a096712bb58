"""The trunk: the cut points, stages and bottlenecks of a traced network.

- `traced`: `TracedNetwork`, a network with its trace and its trunk, from which all else follows
- `cut_points`: `Trunk`, `CutPoint` and `Stage`
- `strategies`: rules that select cut points, such as the paper's bottlenecks
- `feature_maps`, `layouts`: the feature maps of a trace, and the order of their axes

The search for the trunk is in `_find`, whose docstring is where to begin.
"""
