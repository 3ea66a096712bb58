"""Analysis: possible sites of attention in a network, and the costs there.

- `analyze`: `analyze`, for one network
- `sweep`: many networks, in several processes
- `catalog`: the named networks
- `attend`: gates of inserted modules for an image
"""
