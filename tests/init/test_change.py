"""One object measures and undoes whatever is done to a network."""

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import sppkit
from sppkit import init
from sppkit.models.bn_resnet import bn_resnet
from tests.capture.test_left_as_found import all_hooks, randomness, state_of
from tests.init.test_attention import Attention
from tests.init.test_branch_ends import residual_mlp


def tensors():
    return torch.randn(8, 8, generator=torch.Generator().manual_seed(4))


def network():
    torch.manual_seed(0)
    return nn.Sequential(residual_mlp(), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))


def by_hand(model, x):
    model[3] = nn.Linear(8, 5)
    model[1].weight.requires_grad_(False)
    model.eval()


EVERY = {
    "initialize_weights": lambda m, x: init.initialize_weights(m, "orthogonal"),
    "layer_sequential_unit_variance": init.layer_sequential_unit_variance,
    "preserve_variance": init.preserve_variance,
    "scale_weights": lambda m, x: init.scale_weights(m, 3.0),
    "reset_biases": lambda m, x: init.reset_biases(m),
    "standardize_weights": lambda m, x: init.standardize_weights(m),
    "weight_norm": lambda m, x: parametrizations.weight_norm(m[3]),
    "an edit by hand": by_hand,
}
DRAW = {"initialize_weights", "layer_sequential_unit_variance", "an edit by hand"}


@pytest.mark.parametrize("name", EVERY)
def test_every_change_is_undone_bit_for_bit(name):
    model, x = network(), tensors()
    before, keys = state_of(model), list(model.state_dict())
    classes = [type(module) for module in model.modules()]
    generators = randomness()
    with init.Change(model, x) as change:
        EVERY[name](model, x)
    assert state_of(model) != before
    assert (randomness() != generators) == (name in DRAW)
    generators = randomness()
    change.undo()
    assert state_of(model) == before
    assert [type(m) for m in model.modules()] == classes
    assert list(model.state_dict()) == keys
    assert randomness() == generators
    assert all_hooks(model) == []


def test_the_scale_of_attention_is_undone_too():
    model, x = Attention(), torch.randn(2, 5, 32)
    before = state_of(model)
    with init.Change(model, x) as change:
        init.scale_attention(model)
    change.undo()
    assert state_of(model) == before


def test_a_conversion_is_undone_with_its_modules():
    model, x = bn_resnet("digits", width=4, in_channels=1, classes=10), torch.randn(4, 1, 8, 8)
    before, printed = state_of(model), str(model)
    with init.Change(model, x) as change:
        init.convert_to_normalizer_free(model, x)
    assert str(model) != printed
    change.undo()
    assert str(model) == printed
    assert state_of(model) == before


def test_it_can_be_undone_after_training_and_twice():
    model, x = network(), tensors()
    values = {name: t.clone() for name, t in model.state_dict().items()}
    with init.Change(model, x) as change:
        init.standardize_weights(model)
    for _ in range(2):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        model(x).square().sum().backward()
        optimizer.step()
        change.undo()
        after = model.state_dict()
        assert list(after) == list(values)
        assert all(torch.equal(after[name], values[name]) for name in values)


def test_an_error_inside_the_block_undoes_what_was_done_until_then():
    model = network()
    before = state_of(model)

    def scale_twice():
        with init.Change(model):
            init.scale_weights(model, 2.0)
            init.scale_weights(model, float("nan"))

    with pytest.raises(ValueError, match="must be finite"):
        scale_twice()
    assert state_of(model) == before


def test_a_change_after_which_the_network_does_not_run_is_undone():
    model, x = network(), tensors()
    before = state_of(model)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), init.Change(model, x):
        model[3] = nn.Linear(9, 2)
    assert state_of(model) == before


def test_the_frames_are_what_a_probe_of_the_same_batch_shows():
    model, x = network(), tensors()
    with init.Change(model.eval(), x) as change:
        init.scale_weights(model, 2.0, layers="3")
    recording = sppkit.probe(model, input=x, seeds=1, mode="eval")
    table = recording.table().query("signal == 'activation'").set_index("layer")
    after = change.after.set_index("layer")
    for layer in ("0.0.branch.0", "0.1", "3"):
        expected = table.loc[layer, "average_channel_variance"]
        assert after.loc[layer, "average_channel_variance"] == pytest.approx(expected)
    assert after.loc["0.1", "tap"] == "block"
    before = change.before.set_index("layer")
    for column in ("weight_gain",):
        ratio = after.loc["3", column] / before.loc["3", column]
        assert ratio == pytest.approx(4.0)


def test_the_weight_gain_is_fan_in_times_the_mean_square_of_the_weights_as_used():
    layer = nn.Linear(4, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 2.0]]))
    with init.Change(layer) as change:
        init.standardize_weights(layer, 1.5)
    assert change.before["weight_gain"].tolist() == pytest.approx([4 * 34 / 8])
    assert change.after["weight_gain"].tolist() == pytest.approx([1.5**2])


def test_without_a_batch_the_network_is_not_run():
    class Unrunnable(nn.Linear):
        def forward(self, x):
            raise AssertionError

    with init.Change(Unrunnable(4, 4)) as change:
        pass
    assert change.after["average_channel_variance"].isna().all()
    assert "weight gain" in repr(change)
    assert change.table().shape[0] == 1


def test_a_layer_that_is_not_called_by_itself_has_its_gain_and_no_signal():
    attention, x = nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(4, 3, 8)
    with init.Change(attention, x, x, x) as change:
        init.scale_weights(attention, 2.0, layers="out_proj")
    table = change.table().set_index("layer")
    gains = table.loc["out_proj", ["weight_gain_before", "weight_gain_after"]].tolist()
    assert gains[1] == pytest.approx(4 * gains[0])
    assert pd.isna(table.loc["out_proj", "average_channel_variance_after"])


def test_the_table_joins_layers_by_place_and_keeps_what_is_on_one_side_only():
    model, x = network(), tensors()
    with init.Change(model, x) as change:
        init.scale_weights(model, 2.0, layers="3")
        model.append(nn.Linear(2, 2))
    table = change.table().set_index("layer")
    assert table.loc["3", "weight_gain_after"] == pytest.approx(
        4 * table.loc["3", "weight_gain_before"]
    )
    assert pd.isna(table.loc["4", "weight_gain_before"])
    assert table.loc["4", "weight_gain_after"] > 0
    assert list(table.index)[-1] == "4"


def test_it_is_readable():
    model, x = network(), tensors()
    with init.Change(model, x) as change:
        init.layer_sequential_unit_variance(model, x, alpha=0.2)
    assert repr(change).startswith("Change(Sequential, variance of blocks ")
    lines = str(change).splitlines()
    assert lines[1].split() == ["variance", "before", "variance", "after", *lines[1].split()[4:]]
    assert any("residual branch 1: 0.0.branch.2" in line for line in lines)
    assert any("block 2: 0.1" in line for line in lines)


def test_a_long_table_is_cut_and_says_so():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(70)))
    with init.Change(model) as change:
        pass
    assert str(change).endswith("... and 10 more: see .table()")


def test_there_is_nothing_to_undo_before_the_block():
    with pytest.raises(ValueError, match="nothing to undo before `with Change"):
        init.Change(nn.Linear(2, 2)).undo()
