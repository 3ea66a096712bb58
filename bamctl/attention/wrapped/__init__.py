"""Attention modules for images of any library, applied to the maps of a site."""
