"""What hooks meet: in-place writes, faults of our own, odd containers, odd orders of execution."""

import pytest
import torch
from torch import nn

import sppkit
from tests.capture.test_readings import row


def test_the_gradient_of_an_output_is_that_of_its_value_before_an_in_place_write():
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(inplace=True))
    with sppkit.record(model) as recording:
        model(torch.randn(32, 64)).sum().backward()
    before = row(recording, layer="0", signal="gradient")
    after = row(recording, layer="1", signal="gradient")
    assert after["zero_fraction"] == 0.0
    assert before["zero_fraction"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_fault_of_ours_is_told_and_does_not_reach_the_users_pass(monkeypatch, where):
    model = nn.Sequential(nn.Linear(8, 4), nn.Tanh())
    expected = model(x := torch.randn(3, 8))

    def fail(*_, **__):
        raise ZeroDivisionError("broken kernel")

    if where == "forward":
        monkeypatch.setattr("sppkit.capture.planning.plan.summarize", fail)
    with sppkit.record(model, signals=["activation", "gradient"]) as recording:
        output = model(x)
        monkeypatch.setattr("sppkit.capture.planning.plan.summarize", fail)
        output.sum().backward()
        monkeypatch.undo()
    assert torch.equal(output, expected)
    assert model[0].weight.grad is not None
    assert "broken kernel" in " ".join(map(str, recording.not_captured))


def test_layers_are_ranked_by_execution_and_parents_behind_their_parts():
    class Reversed(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.a = nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh())

        def forward(self, x):
            return self.b(self.a(x))

    with sppkit.record(model := Reversed(), signals=["activation"]) as recording:
        model(torch.randn(2, 4))
    order = recording.table().sort_values("depth")["layer"].astype(str).tolist()
    assert order == ["a.0", "a.1", "b", ""]


def test_packed_sequences_are_read_and_not_rebuilt():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(4, 6)

        def forward(self, x):
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3]))
            output, hidden = self.rnn(packed)
            return output.data.sum() + hidden.sum()

    with sppkit.record(model := Packed()) as recording:
        model(torch.randn(5, 2, 4)).backward()
    read = row(recording, layer="rnn", signal="activation", tensor="0.data")
    assert (read["channels"], read["samples"]) == (6, 8)


def test_an_expert_without_tokens_is_told_from_one_that_was_not_called():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

        def forward(self, x):
            return torch.cat([self.experts[0](x), self.experts[1](x[:0])])

    with sppkit.record(model := Experts()) as recording:
        model(torch.randn(6, 4)).sum().backward()
    assert row(recording, layer="experts.0", signal="activation")["samples"] == 6
    empty = row(recording, layer="experts.1", signal="activation")
    assert empty["samples"] == 0
    assert empty["variance"] != empty["variance"]
    (missing,) = [m for m in recording.not_captured if m.layer == "experts.2"]
    assert "never called" in missing.reason


def test_weights_on_the_meta_device_have_a_reason():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, device="meta"))
    with sppkit.record(model, signals=["activation", "weight"]) as recording:
        model[0](torch.randn(2, 4))
    reasons = {m.layer: m.reason for m in recording.not_captured}
    assert "meta tensors" in reasons["1.weight"]


@pytest.mark.parametrize("gradients", [True, False])
def test_a_transformer_layer_in_eval_mode_shows_its_parts(gradients):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    with torch.set_grad_enabled(gradients), sppkit.record(model) as recording:
        model(torch.randn(2, 5, 8))
    layers = set(recording.table().query("signal == 'activation'")["layer"].astype(str))
    assert {f"layers.{i}.{part}" for i in range(2) for part in ("linear1", "norm2")} <= layers


def test_a_probe_of_one_sample_is_finite_and_says_how_few_values_it_read():
    table = sppkit.probe(nn.Sequential(nn.Conv2d(3, 4, 1)), input_size=(3, 1, 1), batch_size=1)
    rows = table.table().query("signal == 'activation' and layer == '0'")
    assert (rows["samples"] == 1).all()
    assert (rows["average_channel_variance"] == 0).all()


def test_recording_draws_no_random_number():
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
    outputs = []
    for recorded in (False, True):
        torch.manual_seed(3)
        if recorded:
            with sppkit.record(model, extended=True):
                outputs.append(model(torch.ones(4, 8)))
        else:
            outputs.append(model(torch.ones(4, 8)))
    assert torch.equal(*outputs)
