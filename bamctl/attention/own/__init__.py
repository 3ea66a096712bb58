"""Attention modules of one's own, by `package.module:factory`."""
