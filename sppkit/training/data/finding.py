"""What networks are trained and evaluated on, from what a person typed.

`digits`, FILE.npz, module.py:factory, folder:DIR, hf:NAME or hf:DIR.
"""

from pathlib import Path

from sppkit.errors import DataError
from sppkit.training.batches import Samples
from sppkit.training.data.digits import digits
from sppkit.training.data.kinds import FORMS, Data, Found, Wishes
from sppkit.training.data.numpy_file import read_numpy
from sppkit.user_code import did_you_mean
from sppkit.user_code import split as split_place


def find_data(text: str, wishes: Wishes | None = None) -> Data:
    """Find the data that a text names.

    Args:
        text: `digits`: 1347 handwritten digits of scikit-learn and 450 to evaluate on, in any size
            of picture; `FILE.npz` with arrays x and y, and x_test and y_test if there are some;
            `module.py:function` that returns a Dataset, a DataLoader, or a pair of them for
            training and evaluation; `folder:DIR` with a folder of pictures for each class, in
            train/ and test/ (or val/) if there are these; `hf:NAME`, a set of pictures by name,
            downloaded by the library `datasets` into its cache, or `hf:DIR`, the parquet files of
            one.
        wishes: how it is to be made.

    Raises:
        DataError: there is no such data, or it cannot be read.
    """
    wishes = wishes or Wishes()
    scheme, _, rest = text.partition(":")
    if text == "digits":
        return digits(wishes)
    if scheme == "folder":
        from sppkit.training.data.picture_folders import read_folder

        return _of(read_folder(rest, wishes), text, wishes)
    if scheme == "hf":
        from sppkit.training.data.hugging_face import read_pictures

        return _of(read_pictures(rest, wishes), text, wishes)
    if Path(text).suffix == ".npz":
        return read_numpy(text, wishes)
    if (place := split_place(text)) and place[1]:
        from sppkit.training.data.user_data import call_factory

        return call_factory(text, wishes)
    raise DataError(f"'{text}' names no data.{did_you_mean(text, ['digits'])} Expected {FORMS}.")


def _of(found: Found, name: str, wishes: Wishes) -> Data:
    train, test = found.train, found.test
    test.standardise_by(train)
    train.standardise_by(train)
    return Data(
        name,
        Samples(train, name, augment=wishes.augment, workers=wishes.workers),
        Samples(test, name, workers=wishes.workers),
        found.classes,
        found.size,
        found.description,
    )
