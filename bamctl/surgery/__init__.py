"""Surgery: insert attention modules into a network, prove that it works, take them out again.

- `insert`: `insert` and `remove`
- `insertion`: an insertion with sites, costs and proof
- `proof`: one forward and one backward pass before and after
- `fusion`: `fuse`, which folds batch norms for inference
"""
