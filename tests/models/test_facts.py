import ast
from pathlib import Path

import pytest

from tests.models.facts import FACTS

TESTS = Path(__file__).parent.parent


def _words_of_test(place):
    """Give name and docstring of a test; fail where there is none."""
    file, _, name = place.partition("::")
    for node in ast.walk(ast.parse((TESTS / file).read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return f"{name.replace('_', ' ')} {ast.get_docstring(node) or ''}"
    raise AssertionError(f"there is no test {place}")


@pytest.mark.parametrize("item", FACTS)
def test_every_fact_is_proved_by_a_test_or_said_to_be_not_applicable(item):
    fact = FACTS[item]
    assert bool(fact.tests) != bool(fact.not_applicable), "either tests or a reason"
    for place in fact.tests:
        words = _words_of_test(place).replace(",", " ").replace(".", " ").replace(":", " ").split()
        assert item in words, f"{place} does not say that it proves {item}"


def test_the_list_is_complete():
    counts = {"D": 15, "E": 8, "B": 6, "N": 10, "G": 4, "S": 9}
    assert list(FACTS) == [f"{kind}{i + 1}" for kind, n in counts.items() for i in range(n)]
