"""Surgery: insertion of attention modules into a network, proof that it works, and removal.

- `insert`: `insert` and `remove`
- `insertion`: `Insertion`, the sites, costs and proof of an insertion
- `proof`: one forward and one backward pass, without and with the insertion
- `fusion`: `fuse`, which folds batch norms for inference
"""
