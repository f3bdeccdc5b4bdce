"""`python -m vivavoce.generate --text "Hello."`: the short command line, the same as `vivavoce speak`."""

from vivavoce.cli.speak import main

if __name__ == "__main__":
    main()
