"""Look into a wheel: the package whole, its data, and nothing else.

python .ci/inspect_wheel.py dist/sppkit-0.1.0-....whl [--compiled]
"""

import argparse
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PACKAGE = Path(__file__).parents[1] / "sppkit"
LEFT_OUT = {".c", ".h"}  # sources of the kernel


def main() -> int:
    """Print what is wrong with a wheel; the exit code is 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--compiled", action="store_true", help="expect the C kernel in it")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
    found = [*faults(names, arguments.compiled)]
    for fault in found:
        print(f"{arguments.wheel.name}: {fault}", file=sys.stderr)
    if not found:
        size = arguments.wheel.stat().st_size / 2**10
        print(f"{arguments.wheel.name}: {len(names)} files, {size:.0f} KiB, as they should be")
    return 1 if found else 0


def faults(names: set[str], compiled: bool) -> Iterator[str]:
    """Say what is missing in a wheel, and what does not belong there."""
    kernels = {name for name in names if PurePosixPath(name).suffix in (".so", ".pyd")}
    expected = {f"sppkit/{path.relative_to(PACKAGE).as_posix()}" for path in package_files()}
    packaged = {name for name in names if name.startswith("sppkit/")}
    rest = {name for name in names - packaged if ".dist-info" not in name.partition("/")[0]}
    yield from (f"lacks {name}" for name in sorted(expected - packaged))
    yield from (f"holds {name}, which is not of the package" for name in sorted(rest))
    unknown = packaged - expected - kernels
    yield from (f"holds {name}, which no file of the package is" for name in sorted(unknown))
    if bool(kernels) != compiled:
        yield f"has {'a' if kernels else 'no'} C kernel, and {'one' if compiled else 'none'} is due"


def package_files() -> Iterator[Path]:
    """Yield the files of the package in the checkout that belong into a wheel."""
    for path in PACKAGE.rglob("*"):
        built = path.suffix in (".so", ".pyd", ".pyc") or "__pycache__" in path.parts
        if path.is_file() and not built and path.suffix not in LEFT_OUT:
            yield path


if __name__ == "__main__":
    sys.exit(main())
