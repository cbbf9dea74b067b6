"""The floors of the house: who may import whom, and what importing costs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sppkit.capture

PACKAGE = Path(__file__).parent.parent / "sppkit"

FLOOR_0 = {
    *("errors", "signals", "theory", "patterns", "limits", "escaping", "files", "notebook"),
    "version",
}
FLOOR_1 = {
    *("summary", "summaries", "statistics", "table", "row_store", "run_directory", "recording"),
    *("expectation", "user_code", "gradients"),
}
MEASURE = {"kernels", "capture", "inputs", "targets", "probing", "init"}
JUDGE = {"rules", "baselines", "formats", "exchange"}
APPS = {"cli", "testing", "pytest_plugin"}
ALL = FLOOR_0 | FLOOR_1 | MEASURE | JUDGE | APPS
ALL |= {"plots", "report", "models", "gate", "training", "early_warning", "integrations"}

# room: (rooms it may import, third-party libraries it may import)
HOUSE = {
    **{room: (FLOOR_0, {"numpy"}) for room in FLOOR_0},
    **{room: (FLOOR_0 | FLOOR_1, {"numpy", "pandas", "pyarrow"}) for room in FLOOR_1},
    "kernels": (FLOOR_0 | FLOOR_1, {"numpy", "torch", "triton"}),
    "capture": (FLOOR_0 | FLOOR_1 | {"kernels"}, {"numpy", "torch"}),
    "inputs": (FLOOR_0 | FLOOR_1, {"numpy", "torch", "sklearn"}),
    "targets": (
        FLOOR_0 | FLOOR_1 | {"models", "inputs"},
        {"torch", "timm", "torchvision", "huggingface_hub"},
    ),
    "init": (FLOOR_0 | {"capture", "models"}, {"torch", "pandas"}),
    "probing": (FLOOR_0 | FLOOR_1 | MEASURE, {"numpy", "torch"}),
    "plots": (
        FLOOR_0 | FLOOR_1,
        {"numpy", "pandas", "matplotlib", "seaborn", "jinja2", "markupsafe", "PIL"},
    ),
    "report": (
        FLOOR_0 | FLOOR_1 | {"plots", "rules"},
        {"numpy", "pandas", "matplotlib", "jinja2", "markupsafe"},
    ),
    "rules": (FLOOR_0 | FLOOR_1, {"numpy", "pandas"}),
    "baselines": (FLOOR_0 | FLOOR_1 | {"rules"}, {"numpy", "pandas", "scipy"}),
    "exchange": (FLOOR_0 | FLOOR_1, {"numpy", "pandas", "pyarrow"}),
    "formats": (FLOOR_0 | FLOOR_1 | {"rules"}, set()),
    "models": (FLOOR_0, {"numpy", "torch"}),
    "early_warning": (FLOOR_0 | FLOOR_1 | {"capture", "rules"}, {"numpy", "torch"}),
    "integrations": (
        FLOOR_0 | FLOOR_1 | {"capture", "early_warning", "rules", "plots"},
        {"numpy", "torch", "PIL", "matplotlib"},  # theirs are imported by name, where they are used
    ),
    "training": (
        FLOOR_0 | FLOOR_1 | {"capture", "inputs", "early_warning"},
        {"numpy", "pandas", "pyarrow", "torch", "PIL", "datasets"},
    ),
    "gate": (FLOOR_0 | FLOOR_1 | MEASURE | {"rules"}, {"numpy", "pandas", "torch", "scipy"}),
    "testing": (ALL - {"cli", "pytest_plugin"}, {"numpy"}),
    "pytest_plugin": (ALL - {"cli"}, {"pytest", "jinja2"}),
    "cli": (
        ALL - {"testing", "pytest_plugin"},
        {"typer", "click", "rich", "torch", "numpy", "pandas", "matplotlib", "ray"},
    ),
    "__init__": (ALL, set()),
    "__main__": ({"cli"}, set()),
}
FROM_THE_ROOT = {"cli", "testing", "pytest_plugin"}
"""Who may use the public names; below, the root would tie all rooms into one knot."""


def imports_of(path):
    """Give (line, dotted name) of every import in a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "sppkit":
                yield from ((node.lineno, f"sppkit.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, str(node.module)


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def breaches(path):
    room = room_of(path)
    rooms, libraries = HOUSE[room]
    for line, name in imports_of(path):
        top, _, rest = name.partition(".")
        if top == "sppkit":
            other = rest.partition(".")[0] or "__init__"
            if other not in ALL and room not in FROM_THE_ROOT:
                yield f"{path}:{line}: {room} may not import names of the root ({name})"
            elif other in ALL and other != room and other not in rooms:
                yield f"{path}:{line}: {room} may not import sppkit.{other}"
        elif top not in sys.stdlib_module_names and top not in libraries:
            yield f"{path}:{line}: {room} may not import {top}"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_flow_downwards(path):
    assert not list(breaches(path))


def test_every_room_is_on_the_plan():
    assert {room_of(path) for path in PACKAGE.rglob("*.py")} == set(HOUSE)


def rooms_of_capture():
    """Read the rooms, from the first to the last, in the table that `sppkit.capture` opens with."""
    _, rows, _ = re.split(r"^=+  =+$", sppkit.capture.__doc__, flags=re.MULTILINE)
    return [row.split()[0] for row in rows.strip().splitlines()]


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "capture").glob("*/*.py")), ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_the_rooms_of_capture_import_those_above_them(path):
    rooms = rooms_of_capture()
    allowed = rooms[: rooms.index(path.parent.name) + 1]
    imported = [name.split(".") for _, name in imports_of(path)]
    assert {parts[2] for parts in imported if parts[:2] == ["sppkit", "capture"]} <= set(allowed)


def test_every_room_of_capture_is_in_the_table_it_opens_with():
    assert {path.parent.name for path in (PACKAGE / "capture").glob("*/*.py")} == set(
        rooms_of_capture()
    )


def test_a_breach_is_named_with_file_line_and_import(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.test_house.PACKAGE", tmp_path)
    path = tmp_path / "plots" / "bad.py"
    path.parent.mkdir()
    path.write_text("import torch\nfrom sppkit.capture import recorder\nfrom sppkit import probe\n")
    found = list(breaches(path))
    assert found == [
        f"{path}:1: plots may not import torch",
        f"{path}:2: plots may not import sppkit.capture",
        f"{path}:3: plots may not import names of the root (sppkit.probe)",
    ]


def loaded_by(*arguments):
    """Run Python and list the heavy libraries that were imported."""
    code = (
        "import sys, runpy\n"
        f"sys.argv = {['sppkit', *arguments]!r}\n"
        "try:\n"
        "    import sppkit\n"
        "    len(sys.argv) > 1 and runpy.run_module('sppkit', run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'pyarrow', 'seaborn', 'sklearn', 'scipy'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [(), ("--help",), ("plot", "--help"), ("check", "--help"), ("report", "--help"), ("models",)],
)
def test_light_doors_open_without_heavy_libraries(arguments):
    assert loaded_by(*arguments) == "LOADED []"


def test_the_plug_in_of_pytest_costs_every_session_next_to_nothing():
    code = (
        "import sys, sppkit.pytest_plugin\n"
        "heavy = {'torch', 'pandas', 'numpy', 'matplotlib', 'jinja2', 'typer', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_reading_and_drawing_a_recording_needs_no_torch(tmp_path):
    from tests.cases import PostActivationResNet

    path = tmp_path / "run.parquet"
    sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=1).save(path)
    code = (
        f"import sys, sppkit; r = sppkit.read({str(path)!r})\n"
        "sppkit.plot_signal_propagation(r); print(r, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Recording(run='PostActivationResNet'")
    assert run.stdout.endswith("False\n")


def test_the_public_names_exist_and_have_docstrings():
    for name in sppkit.__all__:
        assert getattr(sppkit, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'prob'"):
        getattr(sppkit, "prob")  # noqa: B009
