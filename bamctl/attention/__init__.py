"""The attention modules that can be inserted: one folder for each kind, and the literal `KINDS`.

`kind.py` says what a kind must offer, `kinds.py` lists them, `settings.py` has what the settings of
all kinds share. To add a module, write its folder and one entry in `KINDS`.
"""
