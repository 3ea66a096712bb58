"""`python -m bamctl`."""

from bamctl.cli.app import main

if __name__ == "__main__":
    main()
