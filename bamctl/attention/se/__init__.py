"""SE, Squeeze-and-Excitation (Hu et al., CVPR 2018), by torchvision's module."""
