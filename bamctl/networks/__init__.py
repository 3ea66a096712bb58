"""Networks: which one is meant, how it is built, and what it takes and returns.

- `spec`: `NetworkSpec`, a network by name and the options of its builder
- `models`: every network that has a name; `torchvision_models`, `timm_models` and `factories` are
  its three sources, and `trust` decides which factories may run
- `inputs`, `example`: the shapes that a network takes, and tensors of these shapes
- `structures`: tensors in nested arguments and results
- `shapes_only`: networks without weights, where only shapes matter
- `memory`: what a module saves for the backward pass, and peak memory
- `restoring`: measure a network and leave hooks, modes and random state as they were
- `wrappers`: networks that are wrapped, compiled or converted
- `inserted`: the forward hook that applies an attention module, and the module that holds them
- `observed`: whether code runs under a tracer, compiler or functorch transform
"""
