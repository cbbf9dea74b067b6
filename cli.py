"""`python cli.py plot model.py`: the command line from a clone, without installing anything.

The application is `sppkit.cli`; an installed sppkit has the command `sppkit` instead.
"""

from sppkit.cli import main

if __name__ == "__main__":
    main()
