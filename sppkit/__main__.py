"""`python -m sppkit`."""

from sppkit.cli import main

if __name__ == "__main__":
    main()
