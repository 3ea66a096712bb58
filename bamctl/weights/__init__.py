"""Weights in files.

- `checkpoints`: safetensors with the placement in the metadata, and PyTorch's format
- `official`: checkpoints of the authors' released code
"""
