"""Run commands in a folder of their own, and hold that failing ones leave nothing behind."""

from textwrap import dedent

import pytest
from typer.testing import CliRunner

from sppkit.cli import app

CHAIN = """
    from torch import nn

    class Net(nn.Sequential):
        INPUT_SIZE = (8,)

        def __init__(self, width=16):
            super().__init__(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder of the commands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def write(folder):
    """Write a model file and return its name."""

    def write_file(source, name="net.py"):
        (folder / name).write_text(dedent(source))
        return name

    return write_file


@pytest.fixture
def chain(write):
    """A file with three layers that states its input size."""
    return write(CHAIN)


@pytest.fixture
def spp(folder):
    """Run a command; one that fails must not have written anything."""

    def run(*arguments, code=0):
        before = contents(folder)
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        if code:
            assert contents(folder) == before
            assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def fails(spp):
    """Run a command that must fail; return its one message."""

    def run(*arguments, code=2):
        result = spp(*arguments, code=code)
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        return result.stderr

    return run


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
