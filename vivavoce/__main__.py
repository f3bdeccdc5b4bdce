"""`python -m vivavoce`: the command line of `cli/main.py`."""

from vivavoce.cli.main import main

if __name__ == "__main__":
    main()
