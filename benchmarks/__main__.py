"""`python -m benchmarks`."""

from benchmarks.application import main

if __name__ == "__main__":
    main()
