"""Folders of pictures, one for each class."""

import functools
from pathlib import Path

from PIL import Image

from sppkit.errors import DataError
from sppkit.training.data.kinds import Found, Wishes
from sppkit.training.data.pictures import Open, Pictures
from sppkit.training.data.splitting import split

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif"})
_TEST_NAMES = ("test", "val", "validation")
_EXPECTED = (
    "expected a folder of pictures for each class, DIR/cat/1.png, or these in DIR/train and "
    "DIR/test (or DIR/val)"
)


def read_folder(place: str, wishes: Wishes) -> Found:
    """List the pictures of a folder; the names of the folders in it are those of the classes.

    Raises:
        DataError: there are none, of one class only, or of classes that there is no training for.
    """
    folder = Path(place).expanduser()
    name = f"folder:{place}"
    if not folder.is_dir():
        raise DataError(f"'{place}' is no folder; {_EXPECTED}.")
    train_folder, test_folder = _parts(folder)
    classes = sorted(path.name for path in train_folder.iterdir() if path.is_dir())
    size = wishes.size
    if size is None:
        raise DataError(f"'{name}' needs the size of the network's input, such as -s 3,32,32.")
    train = Pictures(name, _entries(train_folder, classes), size)
    if len(set(train.labels.tolist())) < 2:
        raise DataError(
            f"'{name}' has {len(train)} pictures of {len(classes)} class(es); {_EXPECTED}."
        )
    if test_folder is not None and wishes.hold_out is None:
        test = Pictures(name, _entries(test_folder, classes), size)
        if not len(test):
            raise DataError(f"'{test_folder}' has no picture; {_EXPECTED}.")
    else:
        parts = split(train.labels, wishes.hold_out or 0.25)
        train, test = (train.part(part.tolist()) for part in parts)
    described = f"{name}: {len(train)} and {len(test)} pictures of {len(classes)} classes"
    return Found(train, test, len(classes), size, described)


def _parts(folder: Path) -> tuple[Path, Path | None]:
    if not (folder / "train").is_dir():
        return folder, None
    tests = [folder / name for name in _TEST_NAMES if (folder / name).is_dir()]
    return folder / "train", tests[0] if tests else None


def _entries(folder: Path, classes: list[str]) -> list[tuple[Open, int, str]]:
    found: list[tuple[Open, int, str]] = []
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if inner.name not in classes:
            raise DataError(
                f"'{inner}' is of a class that there are no pictures to train on for; known: "
                f"{', '.join(classes)}."
            )
        files = sorted(path for path in inner.rglob("*") if path.suffix.lower() in _SUFFIXES)
        label = classes.index(inner.name)
        found += [(functools.partial(Image.open, file), label, str(file)) for file in files]
    return found
