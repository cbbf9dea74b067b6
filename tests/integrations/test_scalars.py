"""Which numbers trackers are told, and by which names; this needs no tracker's library."""

import importlib
import pickle
import sys

import pytest
import torch
from torch import nn

import sppkit
from sppkit.errors import LibraryError
from sppkit.integrations.attachment import Attachment
from sppkit.integrations.scalars import MOST_LAYERS
from sppkit.integrations.tracker import Tracker
from tests.cases import PostActivationResNet


class Notebook(Tracker):
    """A tracker that keeps what it is told."""

    def __init__(self, fails=False, **options):
        super().__init__(**options)
        self.fails = fails
        self.scalars, self.figures, self.events, self.opened, self.closed = {}, [], [], 0, 0

    def _open(self):
        self.opened += 1

    def _close(self):
        self.closed += 1

    def _write_scalars(self, scalars, step):
        if self.fails:
            raise OSError("the disk is full")
        self.scalars[step] = dict(scalars)

    def _write_figure(self, name, figure, step):
        self.figures.append((step, name, figure))

    def _write_event(self, event):
        self.events.append(event)


def train(model, x, tracker, *, steps=3, rate=0.01, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    with sppkit.record(model, optimizer=optimizer, **options) as recording:
        tracker.follow(recording)
        for _ in range(steps):
            optimizer.zero_grad()
            model(x).pow(2).mean().backward()
            optimizer.step()
    return recording


def chain(layers):
    return nn.Sequential(*(nn.Linear(4, 4) for _ in range(layers)))


def test_by_default_a_plain_network_is_told_of_at_its_weighted_layers():
    notebook = Notebook()
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    recording = train(model, torch.randn(16, 4), notebook)
    assert set(notebook.scalars) == {0, 1, 2}
    assert set(notebook.scalars[2]) == {
        "spp.activation.average_channel_variance/0",
        "spp.activation.average_channel_variance/2",
        "spp.gradient.second_moment/0",
        "spp.gradient.second_moment/2",
        "spp.weight_gradient.norm_to_weight_ratio/0.weight",
        "spp.weight_gradient.norm_to_weight_ratio/2.weight",
    }
    table = recording.table().set_index(["step", "layer", "signal", "tensor"])
    variance = table["average_channel_variance"][2, "2", "activation", ""]
    assert notebook.scalars[2]["spp.activation.average_channel_variance/2"] == variance


def test_by_default_a_residual_network_is_told_of_at_the_ends_of_its_blocks():
    notebook = Notebook()
    recording = train(PostActivationResNet(), torch.randn(4, 3, 16, 16), notebook, steps=1)
    table = recording.table()
    ends = table[table["tap"].isin(["stem", "block"]) & (table["signal"] == "activation")]
    told = [name for name in notebook.scalars[0] if name.startswith("spp.activation.")]
    assert len(told) == len(ends) > 2
    weights = [name for name in notebook.scalars[0] if name.startswith("spp.weight_gradient.")]
    types = dict(zip(table["layer"], table["layer_type"], strict=True))
    layers = [name.rpartition("/")[2].removesuffix(".weight") for name in weights]
    assert {types[layer] for layer in layers} == {"Conv2d", "Linear"}


def test_of_a_deep_network_no_more_than_a_few_layers_are_told_of_the_first_and_last_among_them():
    notebook = Notebook()
    train(chain(60), torch.randn(8, 4), notebook, steps=2)
    layers = [n.rpartition("/")[2] for n in notebook.scalars[1] if n.startswith("spp.activation")]
    assert len(layers) == MOST_LAYERS
    assert {"0", "59"} <= set(layers)
    assert len(notebook.scalars[1]) == 3 * MOST_LAYERS


def test_scalars_and_layers_are_chosen_by_patterns():
    notebook = Notebook(scalars=["*.mean", "re:^weight\\.maximum"], layers="[12]", prefix="net/")
    train(chain(4), torch.randn(8, 4), notebook, steps=1)
    assert set(notebook.scalars[0]) == {
        *(f"net/{signal}.mean/{n}" for signal in ("activation", "gradient") for n in (1, 2)),
        *(
            f"net/{signal}.mean/{n}.{parameter}"
            for signal in ("weight", "weight_gradient")
            for n in (1, 2)
            for parameter in ("weight", "bias")
        ),
        *(
            f"net/weight.{statistic}/{n}.{parameter}"
            for statistic in ("maximum", "maximum_unit_wise_norm")
            for n in (1, 2)
            for parameter in ("weight", "bias")
        ),
    }


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"scalars='activations\.\*' matches no signal"):
        Notebook(scalars="activations.*")


def test_the_first_and_the_last_recorded_step_are_drawn():
    notebook = Notebook()
    recording = train(chain(3), torch.randn(8, 4), notebook, steps=6, every=2)
    assert [(step, name) for step, name, _ in notebook.figures] == [
        (0, "spp/signal_propagation"),
        (4, "spp/signal_propagation"),
    ]
    table = recording.table()
    chosen = table[(table["signal"] == "activation") & (table["layer"] != "")]
    for step, _, figure in notebook.figures:
        drawn = figure.axes[1].lines[0].get_ydata()
        expected = chosen[chosen["step"] == step]["average_channel_variance"]
        assert list(drawn) == pytest.approx(list(expected))
    silent = Notebook(figures=False)
    train(chain(3), torch.randn(8, 4), silent)
    assert (silent.figures, silent.closed) == ([], 1)


def test_an_early_warning_is_told_once():
    notebook = Notebook()
    train(chain(3), torch.ones(8, 4), notebook, steps=40, rate=1e3)
    assert notebook.events
    assert len({(e.step, e.code, e.layer) for e in notebook.events}) == len(notebook.events)


def test_a_tracker_that_fails_warns_once_and_training_goes_on():
    notebook = Notebook(fails=True)
    with pytest.warns(UserWarning, match="Notebook failed .*OSError: the disk is full") as caught:
        recording = train(chain(2), torch.randn(8, 4), notebook)
    assert len(caught) == 1
    assert sorted(set(recording.table()["step"])) == [0, 1, 2]


def test_a_tracker_follows_one_recording_after_another():
    notebook = Notebook()
    train(chain(2), torch.randn(8, 4), notebook)
    train(chain(3), torch.randn(8, 4), notebook, steps=1)
    assert "spp.gradient.second_moment/2" in notebook.scalars[0]
    assert (notebook.opened, notebook.closed) == (2, 2)


def test_a_tracker_can_be_sent_to_another_process():
    notebook = pickle.loads(pickle.dumps(Notebook(layers="[12]", scalars="*.mean")))
    train(chain(4), torch.randn(8, 4), notebook, steps=1)
    assert "spp.activation.mean/1" in notebook.scalars[0]
    assert pickle.loads(pickle.dumps(notebook.scalars)) == notebook.scalars


def test_only_a_recording_in_the_making_can_be_followed():
    with pytest.raises(TypeError, match=r"follows a recording in the making.* not Sequential"):
        Notebook().follow(chain(1))


def test_a_callback_refuses_what_record_does_not_know():
    with pytest.raises(
        TypeError, match=r"evry= is no argument of sppkit\.record\. Did you mean 'ev"
    ):
        Attachment("run", (), "never", {"evry": 3})
    with pytest.raises(TypeError, match="optimizer= is not to be given: the trainer decides it"):
        Attachment("run", (), "never", {"optimizer": None})


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("lightning", "lightning"),
        ("transformers", "transformers"),
        ("accelerate", "accelerate"),
        ("tensorboard", "tensorboard"),
        ("wandb", "wandb"),
        ("mlflow", "mlflow"),
    ],
)
def test_a_missing_library_is_named_with_what_to_install(name, needs, monkeypatch):
    for hidden in (needs, "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, hidden, None)
        for module in [m for m in sys.modules if m.startswith(f"{hidden}.")]:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, f"sppkit.integrations.{name}", raising=False)
    message = f"sppkit.integrations.{name} needs {needs}, which is not installed. Try: pip install"
    with pytest.raises(LibraryError, match=message):
        use(importlib.import_module(f"sppkit.integrations.{name}"))


def use(module):
    """Use what imports its library when it is used."""
    if hasattr(module, "record"):
        module.record(None, chain(1), None)
    for name in ("TensorBoardTracker", "WandbTracker", "MLflowTracker"):
        if hasattr(module, name):
            getattr(module, name)("folder")
