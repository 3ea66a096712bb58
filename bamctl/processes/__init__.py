"""Processes: how the program and its workers start, and how they end.

- `children`: child processes that import nothing from the current folder
- `pool`: workers that end with their parent
- `signals`: exit within seconds of SIGINT or SIGTERM
"""
