"""The attention modules of timm, by `timm:NAME`."""
