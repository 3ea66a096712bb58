"""Images to train on.

- `sets`: data sets by name, each with a held-out split
- `images`: labelled images, and how a batch of them is read and augmented
"""
