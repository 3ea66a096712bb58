"""Weights in files.

- `checkpoints`: safetensors with the placement beside the tensors, and PyTorch's own format
- `official`: checkpoints of the authors' released code
"""
