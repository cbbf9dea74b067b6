"""The probe's input is what its name says, the same for the same seed, and stated honestly."""

import random

import numpy as np
import pytest
import torch

from sppkit.errors import ProbeError
from sppkit.inputs import Tokens, example_batch, make_batch
from sppkit.inputs.digits import draw_digits

NOISES = ("gaussian", "uniform", "pink")
IMPORTS = "import random\nimport numpy as np\nimport torch\nfrom torch.utils.data import *\n"


def batch_of(source, *size, batch_size=4, seed=0, **options):
    """Make a batch for a model of one input, or of none that is known."""
    return make_batch(
        source,
        input_size=[size] if size else [],
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(seed),
        **options,
    )


def error_of(source, *size, **options):
    with pytest.raises(ProbeError) as caught:
        batch_of(source, *size, **options)
    return str(caught.value)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Save things in the working directory, by the ending of the name."""
    monkeypatch.chdir(tmp_path)

    def save(name, content):
        if name.endswith(".npz"):
            np.savez(name, **content)
        elif name.endswith(".pt"):
            torch.save(content, name)
        else:
            (tmp_path / name).write_text(IMPORTS + content)
        return name

    return save


def global_states():
    _, key, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), key.tolist(), rest, random.getstate()


# ----------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("source", NOISES)
@pytest.mark.parametrize("size", [(3, 16, 16), (8, 32), (4, 6, 6, 6), (4096,)])
def test_noise_has_mean_zero_and_variance_one(source, size):
    (x,) = batch_of(source, *size, batch_size=16).args
    # the mean of n white values is off by 1/√n, their variance by √(2/n); pink is standardised
    n = x.numel()
    assert x.shape == (16, *size)
    assert abs(x.mean()) < 5 / n**0.5
    assert abs(x.square().mean() - 1) < 5 * (2 / n) ** 0.5


def test_uniform_noise_stays_within_its_bounds():
    (x,) = batch_of("uniform", 1000).args
    assert x.abs().max() <= 3**0.5
    assert x.abs().max() > 1.7


def test_every_channel_of_pink_noise_is_standardised_over_batch_and_positions():
    (x,) = batch_of("pink", 3, 16, 12, dtype="float64").args
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(variance, torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("size", [(2, 64, 64), (2, 48, 64), (2, 512), (1024,), (1, 24, 24, 24)])
def test_the_amplitude_of_pink_noise_falls_as_one_over_frequency(size):
    (x,) = batch_of("pink", *size, batch_size=64, dtype="float64").args
    lengths = size[1:] or size
    axes = tuple(range(-len(lengths), 0))
    spectrum = np.abs(np.fft.fftn(x.numpy(), axes=axes)) ** 2
    power = spectrum.reshape(-1, *lengths).mean(0).ravel()
    grids = np.meshgrid(*[np.fft.fftfreq(length) for length in lengths], indexing="ij")
    frequency = np.sqrt(sum(grid**2 for grid in grids)).ravel()
    inner = frequency > 0
    slope, _ = np.polyfit(np.log(frequency[inner]), np.log(power[inner]) / 2, 1)
    # a power averaged over n spectra is off by 1/√n in its logarithm; a fit over many by far less
    assert slope == pytest.approx(-1, abs=0.05)
    # frequency zero has the amplitude of the lowest frequency
    lowest = power[frequency == frequency[inner].min()].mean()
    assert 0.5 < power[0] / lowest < 2


def test_samples_and_channels_of_pink_noise_are_independent():
    (x,) = batch_of("pink", 2, 64, 64, batch_size=2).args
    correlation = np.corrcoef(x.flatten(0, 1).flatten(1).numpy())
    assert np.abs(correlation - np.eye(4)).max() < 0.6  # few low frequencies carry most of it


@pytest.mark.parametrize("size", [(1,), (5, 1), (5, 1, 1)])
def test_pink_noise_without_a_spatial_axis_is_gaussian_and_says_so(size):
    pink, gaussian = batch_of("pink", *size), batch_of("gaussian", *size)
    assert torch.equal(pink.args[0], gaussian.args[0])
    assert "equals gaussian noise at " + "x".join(map(str, size)) in pink.description


@pytest.mark.parametrize("source", [*NOISES, "digits"])
def test_a_seed_decides_the_batch_and_the_global_generators_are_left_alone(source):
    before = global_states()
    first, again, other = (batch_of(source, 3, 8, 8, seed=seed).args[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert global_states() == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", torch.float64, "torch.float32"])
@pytest.mark.parametrize("source", [*NOISES, "digits"])
def test_the_input_has_the_type_that_was_asked_for(source, dtype):
    (x,) = batch_of(source, 3, 8, 8, dtype=dtype).args
    assert str(x.dtype).endswith(str(dtype).removeprefix("torch."))


def test_every_input_of_a_model_has_its_own_noise():
    generator = torch.Generator().manual_seed(0)
    batch = make_batch("pink", input_size=[(3, 8, 8), (8,)], batch_size=2, generator=generator)
    assert [tuple(x.shape) for x in batch.args] == [(2, 3, 8, 8), (2, 8)]
    assert batch.kwargs == {}
    assert batch.labels is None


def test_descriptions_name_the_noise():
    described = [batch_of(source, 3, 8, 8).description for source in NOISES]
    assert described == ["gaussian noise", "uniform noise", "1/f (pink) noise"]


# ---------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize("dtype", ["int", torch.int64, "int32"])
@pytest.mark.parametrize("source", NOISES)
def test_integers_are_uniform_tokens_whatever_noise_was_asked_for(source, dtype):
    batch = batch_of(source, 500, batch_size=20, dtype=dtype, vocabulary=5)
    (x,) = batch.args
    assert not x.is_floating_point()
    counts = torch.bincount(x.flatten())
    assert len(counts) == 5
    # a count of a binomial distribution is off by √(n p (1 - p)) = 40
    assert (counts - 2000).abs().max() < 200
    assert batch.description == "uniform tokens of a vocabulary of 5"


@pytest.mark.parametrize("vocabulary", [None, 0, -3])
def test_tokens_need_a_vocabulary(vocabulary):
    message = error_of("gaussian", 8, dtype="int", vocabulary=vocabulary)
    assert f"need the size of the vocabulary, a positive number; got {vocabulary}" in message


def test_a_vocabulary_without_tokens_is_a_mistake():
    assert "have the input type 'int'" in error_of("gaussian", 8, vocabulary=10)


# ---------------------------------------------------------------------------------------- digits


def test_digits_are_standardised_over_the_data_set_after_resizing():
    generator = torch.Generator().manual_seed(0)
    for size in [(1, 8, 8), (1, 20, 12), (1, 5, 5), (196,)]:
        pictures, _, _ = draw_digits(size, 5000, generator)
        assert len(pictures) == 1797, "each picture is drawn once"
        assert abs(pictures.mean()) < 1e-9, size
        assert abs(pictures.square().mean() - 1) < 1e-9, size


def test_digits_of_their_own_size_are_scikit_learns():
    from sklearn.datasets import load_digits

    batch = batch_of("digits", 64, batch_size=50)
    data = load_digits()
    pictures = (data.data - data.data.mean()) / data.data.std()
    distances = np.abs(batch.args[0].numpy()[:, None] - pictures[None]).max(-1)
    nearest = distances.argmin(1)
    assert distances.min(1).max() < 1e-5
    assert (data.target[nearest] == batch.labels.numpy()).all()
    assert len(set(nearest)) == 50


def test_resized_digits_are_what_interpolation_makes_of_the_small_ones():
    small = batch_of("digits", 1, 8, 8, dtype="float64").args[0]
    large = batch_of("digits", 1, 32, 32, dtype="float64").args[0]
    resized = torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear")
    # equal up to the shift and scale of the second standardisation
    correlation = np.corrcoef(resized.flatten().numpy(), large.flatten().numpy())[0, 1]
    assert correlation == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("size", "description"),
    [
        ((1, 8, 8), "digits (scikit-learn, 8x8)"),
        ((64,), "digits (scikit-learn, 8x8, flattened)"),
        ((3, 32, 32), "digits (scikit-learn, 8x8 resized to 32x32)"),
        ((784,), "digits (scikit-learn, 8x8 resized to 28x28, flattened)"),
        ((28, 28), "digits (scikit-learn, 8x8 resized to 28x28)"),
    ],
)
def test_digits_say_what_was_done_to_them(size, description):
    batch = batch_of("digits", *size)
    assert batch.args[0].shape == (4, *size)
    assert batch.description == description
    assert batch.labels.shape == (4,)


def test_digits_are_repeated_over_channels():
    (x,) = batch_of("digits", 3, 16, 16).args
    (flat,) = batch_of("digits", 3 * 16 * 16).args
    assert torch.equal(x[:, 0], x[:, 2])
    assert torch.equal(x.flatten(1), flat)


def test_more_digits_than_there_are_is_said():
    batch = batch_of("digits", 64, batch_size=2000)
    assert batch.description.endswith("1797 samples of the 2000 asked for)")


@pytest.mark.parametrize("size", [(65,), (2,), (2, 3, 4, 5)])
def test_digits_refuse_what_holds_no_picture(size):
    message = error_of("digits", *size)
    assert f"Digits do not fit an input of size {size}" in message
    assert "64, 784 or 3072" in message


def test_digits_refuse_tokens_and_several_inputs():
    assert "not torch.int64 token ids" in error_of("digits", 64, dtype="int", vocabulary=3)
    with pytest.raises(ProbeError, match="the model takes 2"):
        make_batch("digits", input_size=[(64,), (64,)], batch_size=2, generator=torch.Generator())


# ----------------------------------------------------------------------------------------- files


def test_a_file_gives_its_first_samples(file):
    x, y = torch.randn(6, 3, 4), torch.arange(6)
    for content in (x, [x], {"x": x}, {"inputs": x}, (x, y), {"x": x, "y": y}):
        batch = batch_of(file("data.pt", content), 3, 4)
        assert torch.equal(batch.args[0], x[:4])
        assert len(batch.args) == 1
        assert batch.kwargs == {}
        assert batch.description == "data.pt"
        if len(content) == 2:
            assert torch.equal(batch.labels, y[:4])


def test_a_dict_gives_keyword_arguments(file):
    ids, mask = torch.ones(6, 5, dtype=torch.int64), torch.ones(5, 5, dtype=torch.bool)
    content = {"input_ids": ids, "mask": mask, "labels": torch.arange(6)}
    with pytest.raises(ProbeError, match=r"differ in .* \(input_ids: 6, labels: 5\)"):
        batch_of(file("data.pt", {**content, "labels": torch.arange(5)}), 5)
    batch = batch_of(file("data.pt", content), 5)
    assert batch.args == ()
    assert batch.kwargs["input_ids"].shape == (4, 5)
    assert batch.kwargs["mask"].shape == (5, 5)
    assert batch.labels.tolist() == [0, 1, 2, 3]


def test_several_tensors_are_several_inputs(file):
    name = file("data.pt", (torch.ones(4, 3), torch.ones(4, 2)))
    generator = torch.Generator()
    batch = make_batch(name, input_size=[(3,), (2,)], batch_size=4, generator=generator)
    assert [tuple(x.shape) for x in batch.args] == [(4, 3), (4, 2)]


def test_a_numpy_file_gives_its_arrays(file):
    x = np.random.default_rng(0).normal(size=(6, 3))
    batch = batch_of(file("data.npz", {"x": x, "y": np.arange(6)}), 3)
    np.testing.assert_allclose(batch.args[0].numpy(), x[:4], rtol=1e-6)
    assert batch.args[0].dtype == torch.float32
    assert batch.labels.tolist() == [0, 1, 2, 3]
    batch = batch_of(file("plain.npz", {"pictures": x, "classes": np.arange(6)}), 3)
    assert batch.args[0].shape == (4, 3)
    assert batch.labels.tolist() == [0, 1, 2, 3]


def test_numbers_are_cast_and_token_ids_are_not(file):
    assert batch_of(file("a.pt", torch.ones(4, 3).double()), 3).args[0].dtype == torch.float32
    assert batch_of(file("b.pt", torch.ones(4, 3).long()), 3).args[0].dtype == torch.int64
    pictures = batch_of(file("c.pt", torch.ones(4, 3, dtype=torch.uint8)), 3)
    assert pictures.args[0].dtype == torch.float32
    assert pictures.description == "c.pt (bytes, 0 to 255)"
    assert "expected token ids" in error_of(file("d.pt", torch.ones(4, 3)), 3, dtype="int")


def test_a_file_with_fewer_samples_gives_them_and_says_so(file):
    batch = batch_of(file("data.pt", torch.ones(3, 5)), 5, batch_size=16)
    assert batch.args[0].shape == (3, 5)
    assert batch.description == "data.pt (3 samples of the 16 asked for)"


def test_a_file_of_another_size_shows_both_sides(file):
    message = error_of(file("data.pt", torch.ones(4, 3, 32, 32)), 3, 64, 64)
    assert message == (
        "'data.pt' holds 1 tensor of 3x32x32 per sample; the model takes 1 tensor of 3x64x64. "
        "Change the one, or state the other: -s 3,32,32."
    )
    message = error_of(file("data.pt", (torch.ones(4, 3), torch.ones(4, 2))), 3)
    assert "holds 2 tensors of 3 and 2 per sample; the model takes 1 tensor of 3." in message


def test_without_a_known_size_a_file_is_taken_as_it_is(file):
    assert batch_of(file("data.pt", torch.ones(4, 7))).args[0].shape == (4, 7)


@pytest.mark.parametrize("content", [[], {}, torch.ones(0, 3), {"y": torch.ones(3)}])
def test_an_empty_file_is_refused(file, content):
    assert "'data.pt' is empty" in error_of(file("data.pt", content), 3)


def test_other_things_than_tensors_are_named(file):
    message = error_of(file("data.pt", {"x": torch.ones(4, 3), "scale": 2.0}), 3)
    assert "'scale' of 'data.pt' is a float; expected a tensor" in message
    assert "'input 1' of 'data.pt' is one number" in error_of(file("data.pt", torch.tensor(3.0)), 3)


class Hostile:
    """Touches a file when it is unpickled by a careless reader."""

    def __reduce__(self):
        return open, ("touched", "w")


def test_pickled_code_is_refused_and_does_not_run(file, tmp_path):
    assert "could run code" in error_of(file("data.pt", {"x": Hostile()}), 3)
    array = np.empty(1, dtype=object)
    array[0] = Hostile()
    assert "could run code" in error_of(file("data.npz", {"x": array}), 3)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["data.pt", "data.npz"])
@pytest.mark.parametrize("content", [b"", b"no such format"])
def test_a_damaged_file_is_refused_by_name(file, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert f"'{name}' cannot be read as an input; expected a file" in error_of(name, 3)


def test_a_missing_file_is_answered_with_the_nearest(file):
    file("data.pt", torch.ones(3))
    message = error_of("dta.pt", 3)
    assert message.startswith("The input 'dta.pt' does not exist in ")
    assert "Did you mean 'data.pt'?" in message


# ------------------------------------------------------------------------------------- functions


@pytest.mark.parametrize(
    ("returned", "labels"),
    [
        ("torch.ones(6, 3)", None),
        ("(torch.ones(6, 3), torch.arange(6))", [0, 1, 2, 3]),
        ("{'x': torch.ones(6, 3)}", None),
        ("TensorDataset(torch.ones(6, 3), torch.arange(6))", [0, 1, 2, 3]),
        ("[(torch.ones(3), 1)] * 6", [1, 1, 1, 1]),
        (
            "DataLoader(TensorDataset(torch.ones(6, 3), torch.full((6,), 5)), batch_size=5, "
            "shuffle=True)",
            [5, 5, 5, 5],
        ),
        ("DataLoader([{'x': torch.ones(3), 'y': 1}] * 6, batch_size=5)", [1, 1, 1, 1]),
    ],
)
def test_a_function_gives_tensors_or_the_first_batch_of_its_data(file, returned, labels):
    if returned.startswith("["):
        returned = f"type('Data', (Dataset,), dict(__getitem__=lambda s, i: ({returned})[i]))()"
    before = global_states()
    batch = batch_of(file("data.py", f"def make(): return {returned}") + ":make", 3)
    assert torch.equal(batch.args[0], torch.ones(4, 3))
    assert (None if batch.labels is None else batch.labels.tolist()) == labels
    assert batch.description == "data.py:make"
    assert global_states() == before


def test_a_stream_of_samples_gives_its_first(file):
    code = """
class Stream(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.ones(3), 7
def make(): return Stream()
"""
    assert batch_of(file("data.py", code) + ":make", 3).labels.tolist() == [7] * 4


def test_a_function_draws_from_our_generator_and_leaves_the_global_ones_alone(file):
    code = "def make():\n    torch.manual_seed(torch.initial_seed())\n"
    code += "    return torch.randn(4, 3) + np.random.rand() + random.random()\n"
    before = global_states()
    name = file("data.py", code + "np.random.seed(1); random.seed(2); torch.rand(1)\n") + ":make"
    first, again, other = (batch_of(name, 3, seed=seed).args[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert global_states() == before


def test_the_global_generators_are_restored_when_a_function_fails(file):
    before = global_states()
    name = file("data.py", "def make():\n    random.random()\n    return torch.randn(2) / [1]\n")
    message = error_of(f"{name}:make", 3)
    assert "make in data.py raised TypeError: " in message
    assert "(data.py, line 7: `return torch.randn(2) / [1]`)" in message
    assert global_states() == before


def test_a_data_set_that_fails_shows_its_line(file):
    code = "class Data(Dataset):\n    def __len__(self): return 9\n"
    code += (
        "    def __getitem__(self, index): raise IndexError('gone')\ndef make(): return Data()\n"
    )
    message = error_of(file("data.py", code) + ":make", 3)
    assert "The batch of data.py:make raised IndexError: gone (data.py, line 7" in message


def test_a_missing_function_or_another_thing_is_named(file):
    name = file("data.py", "SIZE = 3\ndef make(): pass\n")
    assert "Did you mean 'make'?" in error_of(f"{name}:mak", 3)
    assert "'data.py:SIZE' is a int; expected a function" in error_of(f"{name}:SIZE", 3)
    assert "'input 1' of 'data.py:make' is a NoneType" not in error_of(f"{name}:make", 3)
    assert "'input 1' of 'data.py:make' is None" in error_of(f"{name}:make", 3)


# ------------------------------------------------------------------------------ example arguments


@pytest.mark.parametrize(
    ("returned", "args", "kwargs"),
    [
        ("torch.ones(2)", 1, []),
        ("(torch.ones(2), None)", 2, []),
        ("{'x': torch.ones(2), 'flag': True}", 0, ["x", "flag"]),
        ("((torch.ones(2), 3), {'flag': True})", 2, ["flag"]),
        ("(torch.ones(2), {'flag': True})", 1, ["flag"]),
        ("((torch.ones(2), {'a': 1}), {})", 2, []),
    ],
)
def test_an_example_input_is_passed_on_as_it_is(file, returned, args, kwargs):
    before = global_states()
    batch = example_batch(file("data.py", f"def make(): return {returned}") + ":make")
    assert len(batch.args) == args
    assert list(batch.kwargs) == kwargs
    assert batch.description == "example input of data.py:make"
    assert global_states() == before


@pytest.mark.parametrize("returned", ["None", "()", "'x'"])
def test_an_example_input_without_arguments_is_refused(file, returned):
    name = file("data.py", f"def make(): return {returned}")
    with pytest.raises(ProbeError, match="expected a tensor, a tuple of positional arguments"):
        example_batch(f"{name}:make")
    with pytest.raises(ProbeError, match=r"'data\.py' names no function"):
        example_batch(name)


# -------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize("source", ["gausian", "data.csv", "", "model.py", "data.npy"])
def test_an_unknown_source_is_answered_with_all(source):
    message = error_of(source, 3)
    assert f"'{source}' is no input." in message
    assert "gaussian, uniform, pink, digits, FILE.pt, FILE.npz, module.py:function" in message


def test_a_misspelled_source_is_answered_with_the_nearest():
    assert "Did you mean 'gaussian'?" in error_of("gausian", 3)


def test_impossible_requests_are_refused():
    assert "A batch of 0 samples is empty" in error_of("gaussian", 3, batch_size=0)
    assert "size 3x0x8 is empty" in error_of("gaussian", 3, 0, 8)
    assert "needs a size, and none is known" in error_of("pink")
    assert "Did you mean 'float32'?" in error_of("gaussian", 3, dtype="flot32")
    assert "'complex64' is no type of input" in error_of("gaussian", 3, dtype=torch.complex64)


# ---------------------------------------------------------------------------------- inputs by name


def named_batch(sizes, source="gaussian", *, batch_size=4, seed=0, **options):
    return make_batch(
        source,
        input_size=sizes,
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(seed),
        **options,
    )


def test_named_inputs_are_keyword_arguments_in_the_order_of_their_names():
    sizes = {"ids": Tokens((12,), 50), "pixels": (3, 8, 8), "mask": (12,)}
    batch = named_batch(sizes)
    assert batch.args == ()
    assert list(batch.kwargs) == ["ids", "pixels", "mask"]
    assert [tuple(t.shape) for t in batch.kwargs.values()] == [(4, 12), (4, 3, 8, 8), (4, 12)]
    assert batch.kwargs["ids"].dtype == torch.int64
    assert batch.description == (
        "gaussian noise (pixels, mask); uniform tokens of a vocabulary of 50 (ids)"
    )


def test_named_inputs_are_the_same_for_the_same_seed_alone():
    sizes = {"ids": Tokens((12,), 50), "pixels": (3, 8, 8)}
    first, again, other = (named_batch(sizes, seed=seed).kwargs for seed in (0, 0, 1))
    for name in sizes:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_tokens_are_uniform_over_all_ids_but_those_left_out():
    left_out = frozenset({0, 3, 4, 9, 77})  # 77 is no id of this vocabulary
    tokens = Tokens((1000,), 10, left_out)
    ids = tokens.draw(60, torch.Generator().manual_seed(0))
    counts = torch.bincount(ids.flatten(), minlength=10)
    drawn = [1, 2, 5, 6, 7, 8]
    assert tokens.ids_drawn == len(drawn)
    assert counts[[0, 3, 4, 9]].tolist() == [0, 0, 0, 0]
    # 10,000 of each are expected, with a deviation of √(60,000 · 1/6 · 5/6) = 91
    assert (counts[drawn] - 10_000).abs().max() < 5 * 91


def test_a_vocabulary_of_special_ids_alone_is_refused():
    with pytest.raises(ProbeError, match="A vocabulary of 2 tokens, of which 2 are not drawn"):
        Tokens((4,), 2, frozenset({0, 1}))


def test_a_vocabulary_that_is_given_takes_the_place_of_the_named_ones():
    batch = named_batch({"ids": Tokens((500,), 1000)}, vocabulary=7, dtype="int")
    assert int(batch.kwargs["ids"].max()) == 6
    assert batch.description == "uniform tokens of a vocabulary of 7 (ids)"


def test_tokens_follow_the_number_of_digits_there_are():
    batch = named_batch({"ids": Tokens((2,), 9), "x": (1, 8, 8)}, "digits", batch_size=2000)
    assert len(batch.kwargs["ids"]) == len(batch.kwargs["x"]) == len(batch.labels) == 1797
    assert batch.labels.unique().tolist() == list(range(10))


def test_what_named_inputs_cannot_be_is_refused():
    def message(*arguments, **options):
        with pytest.raises(ProbeError) as caught:
            named_batch(*arguments, **options)
        return str(caught.value)

    tokens, numbers = {"ids": Tokens((4,), 9)}, {"pixels": (3, 8, 8)}
    assert "the inputs (pixels) are numbers" in message(numbers, vocabulary=9, dtype="int")
    assert "Digits are pictures" in message(tokens, "digits")
    assert "'gausian' is no input. Did you mean 'gaussian'?" in message(tokens, "gausian")
    assert "Digits fill one input; the model takes 2" in message({**numbers, "y": (4,)}, "digits")
    assert "An input of size 3x0 is empty" in message({"x": (3, 0)})


def test_a_file_takes_the_place_of_named_inputs(file):
    name = file("x.pt", {"x": torch.ones(3, 5)})
    batch = named_batch({"ids": Tokens((4,), 9)}, name)
    assert batch.args[0].shape == (3, 5)
