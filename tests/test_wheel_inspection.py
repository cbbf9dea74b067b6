"""What `.ci/package` says of a wheel that lacks something, or holds what does not belong there."""

import runpy
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
KERNEL = "sppkit/kernels/_native.abi3.so"
INSPECT = ROOT / ".ci" / "inspect_wheel.py"


@pytest.fixture
def inspect(tmp_path, monkeypatch, capsys):
    """Run the script on a wheel of these names, and return exit code and what it said."""
    script = runpy.run_path(str(INSPECT))
    whole = {f"sppkit/{path.relative_to(ROOT / 'sppkit')}" for path in script["package_files"]()}

    def run(*flags, without=(), besides=(KERNEL,)):
        wheel = tmp_path / "sppkit-1-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in {*whole, "sppkit-1.dist-info/METADATA", *besides} - {*without}:
                archive.writestr(name, "")
        monkeypatch.setattr("sys.argv", ["inspect_wheel.py", str(wheel), *flags])
        code = script["main"]()
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_a_whole_wheel_is_as_it_should_be(inspect):
    code, said = inspect("--compiled")
    assert code == 0
    assert "as they should be" in said
    assert inspect(besides=())[0] == 0


@pytest.mark.parametrize(
    "name", ["sppkit/py.typed", "sppkit/report/report.css", "sppkit/targets/target.py"]
)
def test_what_is_missing_is_named(inspect, name):
    code, said = inspect("--compiled", without=[name])
    assert code == 1
    assert f"sppkit-1-any.whl: lacks {name}" in said


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("tests/cases.py", "holds tests/cases.py, which is not of the package"),
        ("cli.py", "holds cli.py, which is not of the package"),
        (
            "sppkit/kernels/c/module.c",
            "holds sppkit/kernels/c/module.c, which no file of the package is",
        ),
    ],
)
def test_what_does_not_belong_there_is_named(inspect, name, fault):
    code, said = inspect("--compiled", besides=[KERNEL, name])
    assert code == 1
    assert fault in said


def test_a_kernel_is_there_where_there_is_a_compiler_and_nowhere_else(inspect):
    assert "has no C kernel, and one is due" in inspect("--compiled", besides=())[1]
    assert "has a C kernel, and none is due" in inspect()[1]
