"""Trainers and trackers, with the real libraries, where these are installed."""

import warnings

import pytest


def library(name):
    """Import a library, or skip the tests of a file and say how to get it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a library warns of in itself is not ours to mend
        how = "pip install -c constraints.txt -e '.[integrations]'"
        return pytest.importorskip(name, reason=f"{name} is not installed: {how}")
