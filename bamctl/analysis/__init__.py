"""Analysis: where attention can go in a network, and what it costs there.

- `analyze`: `analyze`, of one network
- `sweep`: many networks, in several processes
- `catalog`: the networks that have a name
- `attend`: what inserted modules look at in an image
"""
