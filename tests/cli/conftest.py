"""Run commands in a folder of their own, and hold that failing ones leave nothing behind."""

import os
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


SICK = """
    from torch import nn

    class Sick(nn.Sequential):
        INPUT_SIZE = (64,)

        def __init__(self, gain=4.0):
            layers = [layer for _ in range(10) for layer in block(gain)]
            super().__init__(*layers, nn.Linear(64, 10))

    def block(gain):
        linear = nn.Linear(64, 64)
        nn.init.normal_(linear.weight, std=gain * (2 / 64) ** 0.5)
        return linear, nn.ReLU()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder of the commands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for variable in [name for name in os.environ if name.startswith("SPPKIT_")]:
        monkeypatch.delenv(variable)
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
def sick(write):
    """A file with a network whose signal explodes."""
    return write(SICK, "sick.py")


@pytest.fixture
def spp(folder):
    """Run a command; one that fails must not have written anything but what it `writes`."""

    def run(*arguments, code=0, writes=()):
        before = contents(folder)
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        if code:
            after = contents(folder)
            assert after == before | {folder / name: after[folder / name] for name in writes}
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
