import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn
from typer.testing import CliRunner

import sppkit
from sppkit import __version__
from sppkit.cli import app

COMMANDS = ("plot", "check", "train", "compare", "baseline", "diff")
COMMANDS += ("export", "rules", "models", "doctor")
HEAVY = ("torch", "pandas", "numpy", "matplotlib", "seaborn", "pyarrow", "sklearn", "jinja2")

LIGHT = f"""
import sys
from sppkit.cli import app
for line in (["--help"], ["--version"], *([c, "--help"] for c in {COMMANDS}), ["models"]):
    try:
        app(line)
    except SystemExit as end:
        assert end.code == 0, (line, end.code)
    heavy = [name for name in {HEAVY} if name in sys.modules]
    assert not heavy, (line, heavy)
"""


def help_of(*arguments):
    result = CliRunner().invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0
    return result.stdout


def test_help_and_the_list_of_models_import_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_eighty_columns_and_shows_every_default(command):
    text = help_of(command)
    assert max(map(len, text.splitlines())) <= 80
    assert "<list[" not in text
    if command == "plot":
        words = " ".join(text.split())
        assert "[default: 5; x>=1]" in words
        assert "[default: gaussian]" in words


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_of_each_help_text_runs(command, spp, folder):
    for name in ("before", "after"):
        sppkit.probe(lambda: nn.Linear(4, 4), input_size=(4,), seeds=2).save(
            folder / f"{name}.parquet"
        )
    (example,) = re.findall(r"Example: sppkit (.*)", help_of(command))
    assert spp(*shlex.split(example)).stdout


def test_without_a_command_the_help_is_shown_as_a_usage_error(spp):
    assert "Commands:" in spp(code=2).stdout


def test_the_version_is_printed(spp):
    assert spp("--version").stdout == f"sppkit {__version__}\n"


def test_the_citation_is_of_this_version():
    citation = (Path(__file__).parents[2] / "CITATION.cff").read_text()
    assert f"\nversion: {__version__}\n" in citation


def test_an_unknown_command_names_the_nearest(fails):
    assert "Did you mean 'plot'?" in fails("plto")


def test_an_unknown_flag_names_the_nearest(fails):
    message = fails("plot", "ref:mlp", "--sede", "1")
    assert "--sede" in message
    assert "--seeds" in message
    assert "plot --help" in message


def test_an_unknown_value_lists_the_valid_ones(fails):
    message = fails("plot", "ref:mlp", "--device", "gpu")
    assert "'gpu' is not one of 'auto', 'cpu', 'cuda', 'mps'" in message
    assert "Value error" not in message


def test_a_missing_target_is_a_usage_error(fails):
    assert "TARGET" in fails("plot")


def test_the_module_and_the_doorway_of_a_clone_run_the_same_application(pytestconfig):
    doorway = pytestconfig.rootpath / "cli.py"
    for start in (["-m", "sppkit"], [str(doorway)]):
        done = subprocess.run(
            [sys.executable, *start, "--version"],
            capture_output=True,
            text=True,
            cwd=pytestconfig.rootpath,
        )
        assert done.stdout == f"sppkit {__version__}\n", done.stderr
