"""Files of a modified network that run without bamctl: torch.export, ONNX and Python source.

- `write`: write a file, and verify it in a fresh process
"""
