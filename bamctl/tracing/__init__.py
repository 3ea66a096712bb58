"""Tracing: one forward pass of a network under fvcore, read as a dataflow graph.

- `trace`: `trace(network, inputs)` and the `Trace` that it returns
- `operators`: the table of PyTorch operators
- `operator_costs`: MACs and elementwise operations of an operator; `register_operator`
"""
