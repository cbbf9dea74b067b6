import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sppkit.errors import DataError
from sppkit.training.batches import Tensors
from sppkit.training.data import Wishes, find_data
from sppkit.training.data.augmentation import PADDING, crop_and_flip
from sppkit.training.data.splitting import split
from sppkit.training.random_streams import generator_of


def whole(batches, size=50):
    found = list(batches.in_order(size))
    return torch.cat([batch.x for batch in found]), torch.cat([batch.y for batch in found])


def seen(batches, seed=0, epoch=0, size=16, first=0):
    return [batch.x for batch in batches.epoch(seed, epoch, size, first=first)]


def assert_epochs_are_functions_of_seed_and_epoch(batches):
    """The promise of every kind of data, by which runs are compared and resumed."""
    one = seen(batches)
    torch.rand(7)
    np.random.rand(7)
    assert all(map(torch.equal, one, seen(batches)))
    assert all(map(torch.equal, one[2:], seen(batches, first=2)))
    assert not torch.equal(one[0], seen(batches, epoch=1)[0])
    assert not torch.equal(one[0], seen(batches, seed=1)[0])
    assert len(one) == batches.steps(16)


# ------------------------------------------------------------------------------------------ digits


def test_digits_are_split_once_and_for_all_with_every_class_in_both_parts():
    data = find_data("digits")
    (x, y), (x_test, y_test) = whole(data.train), whole(data.test)
    assert (len(y), len(y_test), data.classes, data.size) == (1347, 450, 10, (1, 8, 8))
    shares = torch.bincount(y_test) / (torch.bincount(y) + torch.bincount(y_test))
    assert (shares - 450 / 1797).abs().max() < 0.005
    together = torch.cat([x, x_test])
    assert together.mean().abs() < 1e-5  # all pictures together are standardised
    assert (together.var(correction=0) - 1).abs() < 1e-5
    assert torch.equal(whole(find_data("digits").test)[0], x_test)


def test_large_digits_are_resized_when_they_are_needed_to_the_same_pictures():
    small, large = (find_data("digits", Wishes(size=(1, side, side))) for side in (96, 130))
    assert next(large.test.in_order(3)).x.shape == (3, 1, 130, 130)
    at_once = find_data("digits", Wishes(size=(1, 64, 64)))
    assert torch.equal(whole(small.test)[1], whole(at_once.test)[1])


def test_an_epoch_of_digits_depends_on_seed_and_number_alone():
    data = find_data("digits", Wishes(augmentation="crop-flip"))
    assert_epochs_are_functions_of_seed_and_epoch(data.train)


def test_batches_are_full_and_every_sample_is_seen_at_most_once():
    batches = Tensors(lambda n: n.float(), torch.zeros(50))
    found = seen(batches)
    assert [len(batch) for batch in found] == [16, 16, 16]
    assert len(set(torch.cat(found).tolist())) == 48
    assert [len(batch) for batch in seen(batches, size=64)] == [50]  # the one that there is


def test_a_part_is_held_out_of_every_class():
    labels = torch.arange(10).repeat_interleave(20)
    train, test = split(labels, 0.2)
    assert torch.bincount(labels[test]).tolist() == [4] * 10
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(200))
    with pytest.raises(DataError, match=r"of 3 samples a share of 0\.1 cannot be held out"):
        split(torch.zeros(3), 0.1)


# ------------------------------------------------------------------------------------ augmentation


def test_pictures_are_shifted_by_up_to_four_pixels_and_every_other_is_mirrored():
    picture = torch.arange(1.0, 65).view(1, 1, 8, 8).expand(400, 2, 8, 8)
    changed = crop_and_flip(picture, generator_of("test"))
    padded = torch.nn.functional.pad(picture[0, 0], [PADDING] * 4)
    windows = {
        tuple(window.flatten().tolist()): (row, column, mirrored)
        for row in range(9)
        for column in range(9)
        for mirrored, window in enumerate(
            (
                padded[row : row + 8, column : column + 8],
                padded[row : row + 8, column : column + 8].flip(1),
            )
        )
    }
    found = [windows[tuple(each[0].flatten().tolist())] for each in changed]
    assert torch.equal(changed[:, 0], changed[:, 1])  # channels move together
    assert {row for row, _, _ in found} == set(range(9))
    assert {column for _, column, _ in found} == set(range(9))
    assert 150 < sum(mirrored for _, _, mirrored in found) < 250  # 200 of 400, sigma 10


# ------------------------------------------------------------------------------------------- npz


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def save(**given):
        np.savez(tmp_path / "data.npz", **given)
        return "data.npz"

    return save


def test_arrays_of_pixels_are_standardised_by_channel(arrays):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 3, 4, 4), dtype=np.uint8)
    pixels[:, 1] //= 4
    data = find_data(
        arrays(x=pixels, y=np.arange(300) % 5, x_test=pixels[:9], y_test=np.arange(9) % 5)
    )
    x, y = whole(data.train)
    assert x.mean((0, 2, 3)).abs().max() < 1e-5
    assert (x.var((0, 2, 3), correction=0) - 1).abs().max() < 1e-5
    x_test, _ = whole(data.test)
    assert torch.equal(x_test, x[:9])
    assert (data.classes, data.size, y.dtype) == (5, (3, 4, 4), torch.int64)
    assert_epochs_are_functions_of_seed_and_epoch(data.train)


def test_arrays_of_numbers_are_taken_as_they_are_and_a_quarter_is_held_out(arrays):
    x = np.random.default_rng(0).normal(size=(100, 6))
    data = find_data(arrays(x=x, y=x[:, :1]))
    given, target = whole(data.train)
    assert len(target) == 75
    assert torch.equal(given[:, :1], target)
    assert data.classes is None
    assert next(find_data("data.npz", Wishes(size=(2, 3))).test.in_order(8)).x.shape == (8, 2, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.zeros((4, 2))}, "holds x; expected arrays x and y"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3)}, "x has 4 samples and y 3"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "one or more"),
        ({"x": np.zeros((4, 2)), "y": np.arange(4) - 1}, "has the class -1"),
        ({"x": np.array([{}] * 4, dtype=object), "y": np.zeros(4)}, "cannot be read as data"),
        (
            {"x": np.zeros((4, 2)), "y": np.zeros(4), "x_test": np.zeros((1, 2))},
            "x_test and y_test",
        ),
    ],
)
def test_arrays_that_are_no_data_are_named(given, message, arrays):
    with pytest.raises(DataError, match=message):
        find_data(arrays(**given))


def test_arrays_of_another_size_are_named_with_the_flag_that_helps(arrays):
    with pytest.raises(DataError, match=r"size \(6,\).*takes \(3, 3\).*-s 6"):
        find_data(arrays(x=np.zeros((8, 6)), y=np.arange(8) % 2), Wishes(size=(3, 3)))


# --------------------------------------------------------------------------------- user's factories

FACTORY = """
import random
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

class Noisy(Dataset):
    def __len__(self):
        return 80

    def __getitem__(self, index):
        x = torch.full((3,), float(index)) + torch.rand(3) + np.random.rand() + random.random()
        return x, index % 4

def samples():
    return Noisy()

def pair():
    return Noisy(), Noisy()

def loaders():
    generator = torch.Generator()
    train = DataLoader(Noisy(), batch_size=16, shuffle=True, generator=generator)
    return train, DataLoader(Noisy(), batch_size=40)

def plain_loaders():
    return DataLoader(Noisy(), 16, shuffle=True), DataLoader(Noisy(), 40)

def loader():
    return DataLoader(Noisy())

def three():
    return TensorDataset(torch.zeros(8, 2), torch.zeros(8), torch.zeros(8))

def broken():
    raise RuntimeError("no disk")

nothing = 3
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.py").write_text(FACTORY)
    return lambda name: f"data.py:{name}"


@pytest.mark.parametrize("name", ["samples", "pair", "loaders", "plain_loaders"])
def test_an_epoch_of_a_users_data_depends_on_seed_and_number_alone(name, factory):
    data = find_data(factory(name))
    assert (data.classes, data.size) == (4, (3,))
    before = torch.get_rng_state()
    assert_epochs_are_functions_of_seed_and_epoch(data.train)
    torch.set_rng_state(before)
    seen(data.train)
    assert torch.equal(torch.get_rng_state(), before)  # its numbers are drawn from its own stream


def test_a_quarter_of_one_data_set_is_held_out(factory):
    data = find_data(factory("samples"))
    assert (len(whole(data.train)[1]), len(whole(data.test)[1])) == (60, 20)
    assert data.description == "data.py:samples: 60 samples and 20 samples"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loader", "returned one DataLoader, which leaves nothing to evaluate on"),
        ("broken", r"cannot be made.*no disk.*data\.py, line"),
        ("nothing", "is a int; expected a function"),
        ("absent", "leads nowhere"),
        ("three", r"a batch of data\.py:three is a list of \(a tensor.*expected a pair"),
    ],
)
def test_a_factory_that_gives_no_data_is_named(name, message, factory):
    with pytest.raises(DataError, match=message):
        find_data(factory(name))


# ------------------------------------------------------------------------------ pictures in folders


def picture(value, size=(6, 4), mode="RGB"):
    return Image.new(mode, size, value)


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Two classes, told by their colour, of eight pictures each."""
    monkeypatch.chdir(tmp_path)
    for number in range(8):
        for name, colour in (("blue", (0, 0, 200 + number)), ("red", (200 + number, 0, 0))):
            place = tmp_path / "album" / name
            place.mkdir(parents=True, exist_ok=True)
            picture(colour).save(place / f"{number}.png")
    return tmp_path / "album"


def test_folders_of_pictures_are_classes(album):
    data = find_data("folder:album", Wishes(size=(3, 4, 4)))
    x, y = whole(data.train)
    assert (data.classes, x.shape, len(whole(data.test)[1])) == (2, (12, 3, 4, 4), 4)
    assert torch.equal(x[:, 0, 0, 0] > 0, y == 1)  # red is the second class
    assert x.mean((0, 2, 3)).abs().max() < 1e-5
    assert (x[:, [0, 2]].var((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_a_part_for_evaluation_is_used_where_there_is_one(album):
    train = album / "train"
    train.mkdir()
    for name in ("blue", "red"):
        (album / name).rename(train / name)
    (album / "val" / "red").mkdir(parents=True)
    picture((255, 0, 0)).save(album / "val" / "red" / "new.png")
    data = find_data("folder:album", Wishes(size=(3, 4, 4)))
    assert (len(whole(data.train)[1]), whole(data.test)[1].tolist()) == (16, [1])
    (album / "val" / "green").mkdir()
    with pytest.raises(DataError, match=r"green' is of a class.*known: blue, red"):
        find_data("folder:album", Wishes(size=(3, 4, 4)))


def test_pictures_cover_the_size_and_are_cut_to_its_middle(album):
    wide = picture((0, 0, 0), (12, 4))
    wide.paste((255, 0, 0), (4, 0, 8, 4))
    for file in album.rglob("*.png"):
        wide.save(file)
    data = find_data("folder:album", Wishes(size=(3, 4, 4)))
    assert all(p.unique().numel() == 1 for p in whole(data.test)[0][:, 0])  # the red middle only


def test_a_picture_that_is_broken_is_named(album):
    (album / "red" / "3.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"red/3\.png' of 'folder:album' is no picture"):
        whole(find_data("folder:album", Wishes(size=(3, 4, 4))).test)


def test_folders_that_hold_no_classes_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one" / "red").mkdir(parents=True)
    with pytest.raises(DataError, match=r"0 pictures of 1 class\(es\); expected a folder"):
        find_data("folder:one", Wishes(size=(3, 4, 4)))
    with pytest.raises(DataError, match="needs the size"):
        find_data("folder:one")


# ------------------------------------------------------------------------- sets of the hub, on disk


def encoded(value):
    buffer = io.BytesIO()
    picture(value, (4, 4)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write_part(folder, name, colours, labels):
    """Write a part as the library `datasets` does, with two columns of classes as CIFAR-100."""
    features = {
        "img": {"_type": "Image"},
        "fine_label": {"names": ["a", "b", "c"], "_type": "ClassLabel"},
        "coarse_label": {"names": ["a"], "_type": "ClassLabel"},
    }
    table = pa.table(
        {
            "img": [encoded(colour) for colour in colours],
            "fine_label": labels,
            "coarse_label": [0] * len(labels),
        }
    )
    said = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(said), folder / "data" / f"{name}.parquet")


def test_the_files_of_a_set_of_the_hub_are_read_without_its_library(tmp_path):
    colours = [(40 * n, 0, 0) for n in range(6)]
    write_part(tmp_path, "train-00000-of-00002", colours[:3], [0, 1, 2])
    write_part(tmp_path, "train-00001-of-00002", colours[3:], [0, 1, 2])
    write_part(tmp_path, "test-00000-of-00001", colours[:2], [2, 1])
    data = find_data(f"hf:{tmp_path}", Wishes(size=(3, 4, 4)))
    x, y = whole(data.train)
    assert y.tolist() == [0, 1, 2, 0, 1, 2]  # the fine ones
    red = torch.arange(6.0) * 40
    expected = (red - red.mean()) / red.std(correction=0)
    torch.testing.assert_close(x[:, 0, 0, 0], expected)
    assert whole(data.test)[1].tolist() == [2, 1]
    assert data.classes == 3


def test_a_set_without_a_part_for_evaluation_is_split(tmp_path):
    write_part(tmp_path, "train", [(9 * n, 0, 0) for n in range(20)], [0, 1] * 10)
    data = find_data(f"hf:{tmp_path}", Wishes(size=(3, 4, 4), hold_out=0.4))
    assert (len(whole(data.train)[1]), len(whole(data.test)[1])) == (12, 8)


def test_a_folder_that_is_no_set_is_named(tmp_path):
    with pytest.raises(DataError, match="is a folder without parquet files"):
        find_data(f"hf:{tmp_path}", Wishes(size=(3, 4, 4)))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"has the columns text; expected one of pictures"):
        find_data(f"hf:{tmp_path}", Wishes(size=(3, 4, 4)))
    (tmp_path / "train.parquet").rename(tmp_path / "extra.parquet")
    with pytest.raises(DataError, match=r"has no part 'train'; it has: extra"):
        find_data(f"hf:{tmp_path}", Wishes(size=(3, 4, 4)))


def test_text_that_names_no_data_lists_what_would():
    with pytest.raises(DataError, match=r"'cifar' names no data.*digits, FILE\.npz"):
        find_data("cifar")
