"""What others build upon changes only on purpose."""

import difflib
from pathlib import Path

from tests.public_surface import surface

SNAPSHOT = Path(__file__).with_name("public_surface.txt")


def test_the_public_names_signatures_and_flags_are_those_of_the_snapshot():
    written = SNAPSHOT.read_text("utf-8").splitlines()
    difference = list(difflib.unified_diff(written, list(surface()), "snapshot", "now", n=0))
    assert not difference, "\n".join(
        [
            *difference,
            "If that is meant: python -m tests.public_surface > tests/public_surface.txt",
            "and a line in CHANGELOG.md.",
        ]
    )
