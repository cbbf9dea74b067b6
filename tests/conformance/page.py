"""Write docs/limits.md: `python -m tests.conformance.page > docs/limits.md`."""

from pathlib import Path

from sppkit.limits import SITUATIONS
from tests.conformance.proofs import PROOFS

ROOT = Path(__file__).parents[2]

HEAD = """\
# Mechanism and limits

sppkit reads each tensor inside a hook, before anything can change it, and takes gradients from
hooks on tensors. The first pass of a model is traced and makes a plan; later passes only write
its slots. What follows from that, situation by situation: the right number, a reason in
`recording.not_captured`, or a clear error. Every line is held by the tests named in it. This page
is made by `python -m tests.conformance.page`; `sppkit doctor --limits` prints the same lines.
"""


def page() -> str:
    """Lay out the table with its proofs."""
    parts = [HEAD]
    for group, situations in SITUATIONS.items():
        parts += [f"## {group}\n", "| situation | what sppkit does | tests |", "|---|---|---|"]
        parts += [
            f"| {s.title} | {s.answer} | {_links(PROOFS[s.title])} |".replace("\n", " ")
            for s in situations
        ]
        parts.append("")
    parts += ["## Other people's networks\n", _summary_of_the_zoo()]
    return "\n".join(parts).rstrip() + "\n"


def _summary_of_the_zoo() -> str:
    """Take the dated summary out of the page that the zoo writes."""
    paragraphs = (ROOT / "docs" / "zoo.md").read_text().split("\n\n")
    dated = next(text for text in paragraphs if text[:2] == "20")
    return f"{dated} See [zoo.md](zoo.md)."


def _links(tests: tuple[str, ...]) -> str:
    files: dict[str, list[str]] = {}
    for test in tests:
        file, name = test.split("::")
        files.setdefault(file, []).append(name.removeprefix("test_").replace("_", " "))
    return "; ".join(f"[{', '.join(names)}](../{file})" for file, names in files.items())


if __name__ == "__main__":
    print(page(), end="")
