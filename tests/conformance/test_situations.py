"""Every situation that is known to break collectors has an answer, and every answer a test."""

import ast

import pytest

from sppkit.limits import SITUATIONS
from tests.conformance.page import ROOT, page
from tests.conformance.proofs import PROOFS

ALL = [situation for group in SITUATIONS.values() for situation in group]


def test_every_situation_is_named_once_and_answered():
    titles = [situation.title for situation in ALL]
    assert len(set(titles)) == len(titles)
    assert set(titles) == set(PROOFS)
    assert all(situation.answer.endswith(".") for situation in ALL)


@pytest.mark.parametrize("situation", ALL, ids=lambda situation: situation.title)
def test_the_answer_is_held_by_tests_that_exist(situation):
    assert PROOFS[situation.title]
    for proof in PROOFS[situation.title]:
        file, name = proof.split("::")
        tree = ast.parse((ROOT / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_shows_the_table_as_it_is():
    assert (ROOT / "docs" / "limits.md").read_text() == page()
