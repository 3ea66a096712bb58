"""Networks: specification, construction, inputs and results.

- `spec`: `NetworkSpec`, a network by name and the options of its builder
- `models`: networks by name, from the sources `torchvision_models`, `timm_models` and `factories`;
  `trust` decides which factories may run
- `inputs`, `example`: the input shapes of a network, and tensors of these shapes
- `structures`: tensors in nested arguments and results
- `shapes_only`: networks without weights, for shape propagation
- `memory`: what a module saves for the backward pass, and peak memory
- `restoring`: run a network and restore hooks, modes, buffers and random state
- `wrappers`: detection of networks that are wrapped, compiled or converted
- `inserted`: the forward hook that applies an attention module, and their container
- `observed`: whether code runs under a tracer, compiler or functorch transform
"""
