"""Libraries that only tests use: where one is missing, what needs it is skipped and says so."""

import pytest


def library(name):
    """Import a library of the extra `test`, or skip and say how to get it."""
    how = "pip install -c constraints.txt -e '.[test]'"
    return pytest.importorskip(name, reason=f"{name} is not installed: {how}")
