"""`python -m bamctl`."""

import sys

if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    # Python has put the current folder first, to find what `-m` names; libraries go before it.
    sys.path.append(sys.path.pop(0))

from bamctl.cli.app import main

if __name__ == "__main__":
    main()
