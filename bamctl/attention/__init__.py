"""The attention modules that can be inserted: one folder for each kind, and the literal `KINDS`.

`kind.py` has the interface of a kind, `kinds.py` lists the kinds, and `settings.py` has the base
class of their settings. To add a module, write its folder and one entry in `KINDS`.
"""
