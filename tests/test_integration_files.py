"""The files by which others run us: pre-commit hook, GitHub action, entry points, package data."""

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests.libraries import library

ROOT = Path(__file__).parent.parent


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_hooks_have_the_fields_that_pre_commit_asks_for():
    hooks = library("yaml").safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["language"] for hook in hooks] == ["python", "system"]
    for hook in hooks:
        assert {"id", "name", "entry", "language"} <= set(hook)
        assert hook["pass_filenames"] is False
        assert hook["entry"].split()[0] in project()["project"]["scripts"]


def test_the_action_keeps_to_the_schema_of_github():
    schema = json.loads((ROOT / "tests" / "schemas" / "github-action.json").read_text())
    action = library("yaml").safe_load((ROOT / "action.yml").read_text())
    library("jsonschema").Draft7Validator(schema).validate(action)


@pytest.mark.parametrize(
    ("inputs", "arguments"),
    [
        ({}, ["check", "--output-format", "github"]),
        (
            {"TARGETS": "a.py b.py:Net", "ARGS": "--seeds 3", "FILE": "out.sarif"},
            [
                "check",
                "a.py",
                "b.py:Net",
                "--seeds",
                "3",
                "--output-format",
                "github",
                "--output-file",
                "out.sarif",
            ],
        ),
        (
            {"TARGETS": "$(touch gone);`touch gone` *"},
            ["check", "$(touch", "gone);`touch", "gone`", "*", "--output-format", "github"],
        ),
    ],
)
def test_the_action_hands_over_its_inputs_and_runs_nothing_else(inputs, arguments, tmp_path):
    action = library("yaml").safe_load((ROOT / "action.yml").read_text())
    step = action["runs"]["steps"][-1]
    fake = tmp_path / "sppkit"
    fake.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    fake.chmod(0o755)
    given = dict.fromkeys(step["env"], "") | {"FORMAT": "github"} | inputs
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step["run"]],
        env={**os.environ, **given, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert json.loads(run.stdout) == arguments, run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sppkit"]


def test_the_entry_points_lead_somewhere():
    points = project()["project"]
    module, _, name = points["scripts"]["sppkit"].partition(":")
    assert callable(getattr(import_module(module), name))
    (plug_in,) = points["entry-points"]["pytest11"].values()
    assert import_module(plug_in).pytest_configure


def test_data_files_are_part_of_the_package():
    patterns = project()["tool"]["setuptools"]["package-data"]["sppkit"]
    package = ROOT / "sppkit"
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    data = {path for path in package.rglob("*") if path.suffix in (".json", ".typed")}
    assert data <= shipped
    assert package / "formats" / "check.schema.json" in shipped


def test_our_own_settings_can_be_read(monkeypatch):
    monkeypatch.chdir(ROOT)
    from typer.testing import CliRunner

    from sppkit.cli import app

    result = CliRunner().invoke(app, ["check", "--show-settings"])
    assert result.exit_code == 0, result.output
    assert "model nf_resnet20 " in result.stdout
