"""Pages of the site that are made: from the README, a notebook, the rules, and by drawing.

Run by `mkdocs build` (plug-in gen-files). Links of a page that lead out of `docs` are shown as the
path in the repository.
"""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import mkdocs_gen_files

import sppkit
from sppkit.cli.rulebook import every_rule
from sppkit.cli.rules import describe_rule
from sppkit.early_warning.catalogue import WARNING_RULES
from sppkit.models import build, find_reference

ROOT = Path(__file__).parents[2]

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def main() -> None:
    """Make all pages."""
    write("index.md", relinked((ROOT / "README.md").read_text(), ROOT))
    for page in sorted((ROOT / "docs").glob("*.md")):
        write(page.name, relinked(page.read_text(), page.parent))
    write("tutorial.md", "\n\n".join(cells(ROOT / "notebooks" / "01_first_plot.ipynb")))
    write_rules()
    write_reference()
    write("gallery.md", "# Gallery\n\n" + "\n\n".join(gallery()))


def write(name: str, text: str) -> None:
    """Write a page of the site."""
    with mkdocs_gen_files.open(name, "w") as page:
        page.write(text)


def relinked(text: str, folder: Path) -> str:
    """Let links point to where files are on the site, and name those that are not there."""

    def replaced(match: re.Match[str]) -> str:
        mark, words, target, anchor = match.groups()
        if "://" in target:
            return match[0]
        path = (folder / target).resolve()
        if path.is_relative_to(ROOT / "docs") and path.suffix in (".md", ".png"):
            return f"{mark}[{words}]({path.relative_to(ROOT / 'docs')}{anchor or ''})"
        return f"{words} (`{PurePosixPath(path.relative_to(ROOT))}`)"

    return _LINK.sub(replaced, text)


def cells(notebook: Path) -> Iterator[str]:
    """Give the cells of a notebook as Markdown, without running them."""
    for cell in json.loads(notebook.read_text())["cells"]:
        source = "".join(cell["source"])
        yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"


# ------------------------------------------------------------------------------------- rules


def write_rules() -> None:
    """Write a page for each rule of the check, and their list."""
    described = [describe_rule(rule) for rule in (*every_rule(), *WARNING_RULES)]
    lines = [
        "# Rules",
        "",
        "What `sppkit check` asks of a network before training; and from SPP601 on what the early "
        "warning asks of recorded steps.",
        "",
        "| code | severity | title |",
        "|---|---|---|",
    ]
    for rule in described:
        code = rule["code"]
        lines.append(f"| [{code}]({code}.md) | {rule['severity']} | {rule['title']} |")
        write(f"rules/{code}.md", rule_page(rule))
    write("rules/index.md", "\n".join(lines) + "\n")


def rule_page(rule: dict[str, object]) -> str:
    """Say what a rule advises, and where its thresholds come from."""
    parts = [
        f"# {rule['code']}: {rule['title']}",
        f"Severity: {rule['severity']}.",
        str(rule["advice"]),
    ]
    thresholds = rule["thresholds"]
    assert isinstance(thresholds, list)
    if thresholds:
        rows = [f"| `{t['name']}` | {_shown(t['value'])} | {t['source']} |" for t in thresholds]
        parts.append("\n".join(["| threshold | value | source |", "|---|---|---|", *rows]))
        first = thresholds[0]
        value = 0.5 if isinstance(first["value"], str) else 1.1 * first["value"]
        parts.append(other_value(str(rule["code"]), first["name"], value))
    return "\n\n".join(parts) + "\n"


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def other_value(code: str, name: str, value: float) -> str:
    """Say how a threshold is changed."""
    if code in {rule.code for rule in WARNING_RULES}:
        call = f'sppkit.EarlyWarning(recording, thresholds={{"{code}": {{"{name}": {value:g}}}}})'
        return f"Another value:\n\n```python\n{call}\n```"
    table = f"[tool.sppkit.thresholds.{code}]\n{name} = {value:g}"
    return f"Another value, in `pyproject.toml`:\n\n```toml\n{table}\n```"


# --------------------------------------------------------------------------------- reference


TRAINERS_AND_TRACKERS = (
    *("lightning", "transformers", "accelerate"),
    *("tensorboard", "wandb", "mlflow"),
)
ROOMS = {
    "sppkit.testing": "assertions for test suites",
    "sppkit.init": "initialisations, and the way to a normaliser-free network",
    "sppkit.rules": "judging a recording, and rules of one's own",
    "sppkit.exchange": "tables for other programs, and recordings of other tools",
    "sppkit.theory": "what a signal should look like",
    "sppkit.models": "the reference networks",
    "sppkit.integrations": "trainers and trackers",
    "sppkit.errors": "what can go wrong",
}


def write_reference() -> None:
    """Write a page of the names of the package, and one for each of its public rooms."""
    names = [name for name in sppkit.__all__ if name != "SppkitError"]
    listed = [f"::: sppkit.{name}" for name in names]
    rooms = [f"- [`{room}`]({room}.md): {about}" for room, about in ROOMS.items()]
    write("reference/index.md", "\n\n".join(["# Reference", "\n".join(rooms), *listed]) + "\n")
    for room in ROOMS:
        write(f"reference/{room}.md", "\n\n".join([f"# {room}", *_identifiers(room)]) + "\n")


def _identifiers(room: str) -> list[str]:
    """Give what mkdocstrings is asked for: the room, or each name that it offers."""
    if room == "sppkit.integrations":  # each needs its library, and is read without importing it
        return [f"::: {room}.{name}" for name in TRAINERS_AND_TRACKERS]
    module = importlib.import_module(room)
    offered = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    # by where it is defined: a module of the room may have the same name
    homes = {name: getattr(value, "__module__", room) for name, value in offered.items()}
    return [f"::: {home}.{name}" for name, home in homes.items()] or [f"::: {room}"]


# ----------------------------------------------------------------------------------- gallery

PLOTS = {
    "nf": (
        "Normaliser-free: the ladder of Brock et al.",
        {"nf_resnet26_cifar": {"skip_gain": 1.0}},
    ),
    "three": (
        "Batch-normalised, normaliser-free, self-normalising",
        {"bn_resnet20": {}, "nf_resnet20": {"skip_gain": 1.0}, "sn_resnet20": {}},
    ),
    "dead": (
        "A dead network and its repair: EfficientNet without normalisation",
        {"efficientnet_b0_none": {}, "efficientnet_b0_un_repaired": {}},
    ),
    "plain": ("Ten plain layers beside mean-field theory", {"mlp": {}, "sn_mlp": {}}),
}


def gallery() -> Iterator[str]:
    """Draw figures, and give the text that shows them."""
    for name, (title, networks) in PLOTS.items():
        recordings = [
            sppkit.probe(
                lambda reference=reference, given=given: build(reference, **given),
                input_size=find_reference(reference).input_size,
                seeds=2,
                run=reference,
            )
            for reference, given in networks.items()
        ]
        for kind, draw in (
            ("propagation", sppkit.plot_signal_propagation),
            ("gradients", sppkit.plot_gradient_flow),
        ):
            with mkdocs_gen_files.open(f"gallery/{name}-{kind}.png", "wb") as file:
                draw(*recordings).savefig(file, format="png")
        command = " ".join(f"ref:{reference}" for reference in networks)
        yield f"## {title}\n\n`sppkit plot {command}`"
        yield f"![Signal propagation: {title}](gallery/{name}-propagation.png)"
        yield f"![Gradients: {title}](gallery/{name}-gradients.png)"


main()
