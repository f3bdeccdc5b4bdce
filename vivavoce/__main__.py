"""`python -m vivavoce`: the command line of `cli.py`."""

from vivavoce.cli import main

if __name__ == "__main__":
    main()
