"""Engines: where the runs of a comparison or of a search are executed, several at a time.

- `engine`: the protocol, and processes of this machine
- `cluster`: a Ray cluster
- `engines`: the engines by the names of `--engine`
"""
