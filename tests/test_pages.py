"""The examples in the pages of the documentation do what the pages say."""

import doctest
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_hold(page):
    failed, _ = doctest.testfile(str(page), module_relative=False)
    assert failed == 0
