"""Images to train on.

- `sets`: data sets by name, each with a held-out split
- `images`: labelled images; reading and augmenting a batch
"""
