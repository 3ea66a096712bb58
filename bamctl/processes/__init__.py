"""Processes: start and end of the program and its workers.

- `allocator`: freed memory, given back to the system
- `children`: child processes that import nothing from the current folder
- `pool`: worker processes that exit with their parent
- `signals`: exit within seconds of SIGINT or SIGTERM
"""
