"""The thesis' log, written here as its code writes it, and read."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.errors import RecordingError
from sppkit.exchange import from_training_log, in_convention

OF_MEANS = (1.5**2 + 0.5**2) / 2  # variance of the channels' means

HEAD = ("epoch", "train_loss", "val_loss", "accuracy", "f1", "roc_auc")


def statistics(array):
    """Take mean and variance as the thesis does: by channel of pictures, else of all values."""
    if array.ndim == 4:
        return (array.mean((0, 2, 3)) ** 2).mean(), array.var((0, 2, 3)).mean()
    return (array**2).mean(), array.var()


def logged(model, x, y):
    """Train for a step with full backward hooks on the leaves, and log six statistics of each."""
    leaves = {n: m for n, m in model.named_modules() if not list(m.children())}
    found, handles = {name: {} for name in leaves}, []
    for name, module in leaves.items():

        def forward(module, args, output, name=name):
            found[name]["act"] = output.detach().numpy()

        def backward(module, grad_input, grad_output, name=name):
            found[name]["grad"] = grad_output[0].numpy()

        handles += [
            module.register_forward_hook(forward),
            module.register_full_backward_hook(backward),
        ]
    nn.functional.cross_entropy(model(x.clone().requires_grad_()), y).backward()
    for handle in handles:
        handle.remove()
    for name, module in leaves.items():
        weights = [
            p.detach().numpy().ravel() for n, p in module.named_parameters() if "weight" in n
        ]
        found[name]["weight"] = np.concatenate(weights) if weights else None
    return {name: _six(arrays) for name, arrays in found.items()}


def _six(arrays):
    six = {}
    for signal in ("act", "weight", "grad"):
        array = arrays[signal]
        pair = (None, None) if array is None else statistics(array)
        six[f"mean_{signal}"], six[f"std_{signal}"] = pair
    return six


def write(path, epochs, name="Net"):
    layers = list(epochs[0])
    lines = [f"{name}\tcheckpoints/{name}/2025-01-01", "\t".join((*HEAD, *layers))]
    for epoch, cells in enumerate(epochs):
        metrics = (epoch, 2.3, 2.2, 0.1 * epoch, 0.0, "nan")
        lines.append("\t".join([*map(str, metrics), *(str(cells[layer]) for layer in layers)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 16), nn.Linear(16, 10)
    )


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(32, 3, 8, 8, generator=generator), torch.arange(32) % 10


@pytest.fixture
def log(tmp_path, batch):
    return write(tmp_path / "training_log.txt", [logged(net(), *batch)])


@pytest.fixture
def ours(batch):
    model, (x, y) = net(), batch
    with sppkit.record(model, loss_reduction="mean", run="Net") as recording:
        nn.functional.cross_entropy(model(x), y).backward()
    return recording


def of(recording, signal, names=("average_channel_squared_mean", "average_channel_variance")):
    table = recording.table()
    rows = table[(table["signal"] == signal) & (table["layer"] != "")]
    if signal == "weight":
        rows = rows[rows["tensor"] == "weight"]
    return rows.astype({"layer": str}).set_index("layer").sort_index()[list(names)]


@pytest.mark.parametrize("signal", ["activation", "gradient", "weight"])
def test_in_their_convention_our_numbers_are_theirs(signal, log, ours):
    """D2."""
    theirs = of(from_training_log(log, convention="dewyse"), signal)
    mine = of(in_convention(ours, "dewyse"), signal)
    assert list(theirs.index) == list(mine.index)
    assert len(theirs) == (2 if signal == "weight" else 5) + (signal == "weight")
    np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-12)


def test_flattening_changes_nothing_by_channel_and_jumps_in_their_convention():
    """D2."""

    def flattened(convention):
        model = nn.Sequential(nn.Hardtanh(-99, 99), nn.Flatten())
        means = torch.tensor([-1.5, -0.5, 0.5, 1.5])[:, None, None]
        x = means + torch.randn(512, 4, 2, 2, generator=torch.Generator().manual_seed(0))
        with sppkit.record(model, channel_axis={"0": 1}) as recording:
            model(x.requires_grad_()).sum().backward()
        found = of(in_convention(recording, convention), "activation")
        return found["average_channel_variance"]

    by_channel, theirs = flattened("channels"), flattened("dewyse")
    assert by_channel["1"] == pytest.approx(by_channel["0"], rel=0.01)
    assert theirs["0"] == pytest.approx(by_channel["0"])
    assert theirs["1"] == pytest.approx(by_channel["1"] + OF_MEANS, rel=0.01)


def test_of_matrices_that_are_named_the_log_holds_pooled_statistics(log, ours):
    recording = from_training_log(log, vectors=["2", "3", "4"])
    pooled = ("second_moment", "variance")
    np.testing.assert_allclose(
        of(recording, "activation", pooled).loc[["2", "3", "4"]],
        of(ours, "activation", pooled).loc[["2", "3", "4"]],
        rtol=1e-5,
    )
    by_channel = of(recording, "activation")
    np.testing.assert_allclose(by_channel.loc["0"], of(ours, "activation").loc["0"], rtol=1e-5)
    assert by_channel.loc[["2", "3", "4"]].isna().all(axis=None)


def test_without_names_it_is_said_that_matrices_are_not_known(log):
    (remark,) = [r for r in from_training_log(log).metadata["Net"]["remarks"] if "vectors=" in r]
    assert 'convention="dewyse"' in remark
    assert "vectors=" not in str(from_training_log(log, vectors="3").metadata["Net"]["remarks"])


def test_epochs_are_steps_and_metrics_are_kept(tmp_path, batch):
    cells = logged(net(), *batch)
    recording = from_training_log(write(tmp_path / "training_log.txt", [cells] * 3, "FFNN"))
    table = recording.table()
    assert recording.runs == ("FFNN",)
    assert sorted(set(table["step"])) == [0, 1, 2]
    assert set(table["phase"]) == {"train"}
    assert recording.metadata["FFNN"]["metrics"][2]["accuracy"] == "0.2"
    sppkit.plot_over_training(recording)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("nan", math.nan), ("inf", math.inf), ("-inf", -math.inf)),
        *(("np.float32(0.5)", 0.5), ("np.float64(nan)", math.nan), ("1e-07", 1e-7)),
        ("tensor(0.5, device='cuda:0')", 0.5),
    ],
)
def test_what_ast_cannot_evaluate_is_read(text, value, tmp_path):
    """D8."""
    names = [f"{what}_{signal}" for signal in ("act", "weight", "grad") for what in ("mean", "std")]
    cell = "{" + ", ".join(f"'{name}': {text}" for name in names) + "}"
    path = tmp_path / "training_log.txt"
    path.write_text(f"Net\tdir\nepoch\ttrain_loss\tfc\n0\t1.0\t{cell}\n")
    table = from_training_log(path).table()
    found = table.loc[table["signal"] == "activation", "average_channel_variance"]
    np.testing.assert_equal(found.to_numpy(), [value])


def test_a_last_line_that_was_cut_off_is_left_out(log):
    log.write_text(log.read_text() + "1\t2.3\t2.2\t0.1\t0.0\t0.5\t{'mean_act': 0.1, 's")
    assert set(from_training_log(log).table()["step"]) == {0}


def edited(log, old, new):
    text = log.read_text()
    assert old in text
    log.write_text(text.replace(old, new, 1))
    return log


def test_faults_are_told_with_line_and_column(log):
    with pytest.raises(RecordingError, match="line 3, column '0': expected mean and std"):
        from_training_log(edited(log, "mean_act", "mean_acts"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read"),
        ("", "is no training_log.txt"),
        ("Net\tdir\nstep\tloss\n0\t1\n", "beginning with 'epoch'"),
        ("Net\tdir\nepoch\tloss\n0\t1\n", "logged without log_signal"),
        ("Net\tdir\nepoch\tfc\n0\n1\t{}\n", "line 3: expected 2 columns, found 1"),
    ],
)
def test_another_file_is_refused(content, words, tmp_path):
    path = tmp_path / "training_log.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecordingError, match=words):
        from_training_log(path)


def test_unknown_words_are_refused(log, ours):
    with pytest.raises(ValueError, match="must be 'channels' or 'dewyse', not 'thesis'"):
        from_training_log(log, convention="thesis")
    with pytest.raises(ValueError, match="must be 'channels' or 'dewyse', not 'thesis'"):
        in_convention(ours, "thesis")
    with pytest.raises(ValueError, match="vectors='fc' matched no layer"):
        from_training_log(log, vectors="fc")


def test_our_own_recording_stays_as_it_is(ours):
    before = ours.table()
    in_convention(ours, "dewyse")
    assert ours.table().equals(before)
    assert "convention" not in ours.metadata["Net"]


def test_tokens_have_no_number_in_their_convention():
    model = nn.Sequential(nn.Linear(8, 8))
    with sppkit.record(model) as recording:
        model(torch.randn(4, 6, 8)).sum().backward()
    assert of(in_convention(recording, "dewyse"), "activation").isna().all(axis=None)
