"""A mask leaves padding out: what is read are the real positions, and nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit import statistics
from sppkit.capture.tensors.masks import UNMASKED, Mask
from sppkit.capture.tensors.readable import readable
from tests.capture.finding import row
from tests.oracle import summary_of

PADDING = 0
STATISTICS = statistics.STATISTICS
NAMES = [statistic.__name__ for statistic in STATISTICS]


class Reader(nn.Module):
    """Tokens in, one class for each sentence out; gradients and outputs are kept for the test."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 6)
        self.mixing = nn.Linear(6, 8)
        self.activation = nn.GELU()
        self.recurrent = nn.GRU(8, 5, batch_first=True)
        self.head = nn.Linear(5, 3)
        self.kept = []

    def forward(self, tokens):
        h = self.keep("embedding", self.embedding(tokens))
        h = self.keep("mixing", self.mixing(h))
        h = self.keep("activation", self.activation(h))
        h = self.keep("recurrent", self.recurrent(h)[0])
        return self.head(h[:, -1])

    def keep(self, name, tensor):
        tensor.retain_grad()
        self.kept.append((name, tensor))
        return tensor


def sentences(*lengths, longest=None):
    """Give padded batches of tokens; padding stands on the right."""
    tokens = torch.randint(1, 30, (len(lengths), longest or max(lengths)))
    for sentence, length in zip(tokens, lengths, strict=True):
        sentence[length:] = PADDING
    return tokens


def train_on(model, batches):
    """Run a forward and a backward pass on each batch; return the masks of what was kept."""
    masks = []
    for tokens in batches:
        first = len(model.kept)
        model(tokens).pow(2).sum().backward()
        masks += [tokens != PADDING] * (len(model.kept) - first)
    return masks


def selected(model, masks, layer, gradient):
    """Give the real positions of a layer's outputs or gradients over all batches, (P, C)."""
    return torch.cat(
        [
            (tensor.grad if gradient else tensor.detach())[mask]
            for (name, tensor), mask in zip(model.kept, masks, strict=True)
            if name == layer
        ]
    )


def assert_reads_as(read, chosen):
    expected = statistics.evaluate(summary_of(chosen.double(), 1), STATISTICS)
    for name in NAMES:
        assert read[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-9), name
    assert read["samples"] == len(chosen)


@pytest.mark.parametrize("signal", ["activation", "gradient"])
@pytest.mark.parametrize("layer", ["embedding", "mixing", "activation"])
def test_only_the_real_positions_are_read(layer, signal):
    model = Reader()
    with sppkit.record(model, mask=lambda tokens: tokens != PADDING) as recording:
        masks = train_on(model, [sentences(7, 2, 4)])
    read = row(recording, layer=layer, signal=signal, tensor="")
    assert read["flags"] == ""
    assert_reads_as(read, selected(model, masks, layer, signal == "gradient"))


@pytest.mark.parametrize("signal", ["activation", "gradient"])
def test_batches_of_several_lengths_merge_over_their_real_positions(signal):
    model = Reader()
    batches = [sentences(7, 2, 4), sentences(3, 1), sentences(9, 9, 8, 1), sentences(5, longest=12)]
    with sppkit.record(model, mask=lambda tokens: tokens != PADDING) as recording:
        masks = train_on(model, batches)
    for layer, tensor in (("mixing", ""), ("recurrent", "0")):
        read = row(recording, layer=layer, signal=signal, tensor=tensor)
        assert_reads_as(read, selected(model, masks, layer, signal == "gradient"))
        assert read["samples"] == 7 + 2 + 4 + 3 + 1 + 9 + 9 + 8 + 1 + 5


def test_later_steps_that_write_into_slots_are_masked_as_the_traced_one_is():
    model = Reader()
    batches = [sentences(7, 2, 4), sentences(3, 1), sentences(9, 9, 8, 1)]
    with sppkit.record(model, mask=lambda tokens: tokens != PADDING) as recording:
        for step, batch in enumerate(batches):
            model.kept.clear()
            masks = train_on(model, [batch])
            recording.step()
            for signal in ("activation", "gradient"):
                read = row(recording, layer="mixing", signal=signal, tensor="", step=step)
                assert_reads_as(read, selected(model, masks, "mixing", signal == "gradient"))


def test_a_mask_given_in_the_loop_does_the_same_as_a_function():
    model = Reader()
    batches = [sentences(7, 2, 4), sentences(3, 1)]
    with sppkit.record(model, mask=lambda tokens: tokens != PADDING) as by_function:
        train_on(model, batches)
    model.zero_grad()
    with sppkit.record(model) as by_hand:
        for batch in batches:
            by_hand.mask((batch != PADDING).long())  # as attention masks of 0 and 1 come
            train_on(model, [batch])
    left, right = (recording.table()[NAMES].to_numpy(float) for recording in (by_function, by_hand))
    assert np.array_equal(left, right, equal_nan=True)


def test_a_mask_given_in_the_loop_is_of_the_next_pass_alone():
    model = Reader()
    batch = sentences(7, 2, 4)
    with sppkit.record(model, signals=["activation"]) as recording:
        recording.mask(batch != PADDING)
        model(batch)
        recording.step()
        model(batch)
    assert row(recording, layer="mixing", step=0)["samples"] == 13
    second = row(recording, layer="mixing", step=1)
    assert (second["samples"], second["flags"]) == (21, UNMASKED)


def test_rows_that_the_mask_does_not_fit_are_read_whole_and_flagged():
    model = Reader()
    with sppkit.record(model, mask=lambda tokens: tokens != PADDING) as recording:
        model(sentences(7, 2, 4)).sum().backward()
    for signal in ("activation", "gradient"):
        head = row(recording, layer="head", signal=signal, tensor="")
        assert (head["samples"], head["flags"]) == (3, UNMASKED)
    weight = row(recording, layer="head", signal="weight", tensor="weight")
    assert weight["flags"] == ""
    root = row(recording, layer="", signal="activation")
    assert set(root["flags"].split("; ")) == {"alias of head", UNMASKED}


def test_without_a_mask_no_row_is_flagged():
    model = Reader()
    with sppkit.record(model) as recording:
        model(sentences(7, 2, 4)).sum().backward()
    assert UNMASKED not in set(recording.table()["flags"])


def test_passes_with_and_without_a_mask_in_one_step_are_flagged():
    model = Reader()
    with sppkit.record(model, signals=["activation"]) as recording:
        recording.mask(sentences(2, 1) != PADDING)
        model(sentences(2, 1))
        model(sentences(4, 4))
    read = row(recording, layer="mixing")
    assert (read["samples"], read["flags"]) == (3 + 8, UNMASKED)


def test_a_function_may_give_no_mask_for_a_pass():
    model = Reader()
    with sppkit.record(model, signals=["activation"], mask=lambda tokens: None) as recording:
        model(sentences(4, 4))
    assert row(recording, layer="mixing")["flags"] == UNMASKED


def test_a_mask_function_is_given_what_the_forward_is_given():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 6)

        def forward(self, x, *, attention_mask):
            return self.layer(x) * attention_mask[..., None]

    model, x = Encoder(), torch.randn(2, 5, 4)
    keep = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    with sppkit.record(model, mask=lambda x, attention_mask: attention_mask) as recording:
        model(x, attention_mask=keep)
    assert_reads_as(
        row(recording, layer="layer", signal="activation"), model.layer(x)[keep != 0].detach()
    )


def test_a_mask_of_samples_fits_images_too():
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3)), torch.randn(6, 3, 5, 5)
    keep = torch.tensor([True, False, True, True, False, False])
    with sppkit.record(model, mask=lambda x: keep) as recording:
        output = model(x)
    read = row(recording, layer="0", signal="activation")
    chosen = output.detach()[keep].movedim(1, -1).reshape(-1, 4)
    assert_reads_as(read, chosen)


def test_one_number_per_position_has_no_channels_behind_the_mask_and_is_flagged():
    model, x = nn.Sequential(nn.Linear(4, 1), nn.Flatten(1)), torch.randn(3, 5, 4)
    with sppkit.record(model, mask=lambda x: torch.rand(3, 5) > 0.4) as recording:
        model(x)
    read = row(recording, layer="1", signal="activation")
    assert (read["channels"], read["samples"], read["flags"]) == (5, 3, UNMASKED)


def test_a_batch_of_nothing_but_padding_is_a_row_without_samples():
    model = Reader()
    with sppkit.record(model, mask=lambda tokens: tokens != PADDING) as recording:
        model(torch.zeros(2, 3, dtype=torch.long)).sum().backward()
    for signal in ("activation", "gradient"):
        read = row(recording, layer="mixing", signal=signal, tensor="")
        assert read["samples"] == 0
        assert np.isnan(read["variance"])


def test_values_at_padded_positions_change_nothing():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
    x, keep = torch.randn(3, 5, 4), torch.rand(3, 5) > 0.4
    tables = []
    for garbage in (0.0, 1e30, float("nan")):
        given = torch.where(keep[..., None], x, garbage)
        with sppkit.record(model, mask=lambda x: keep, signals=["activation"]) as recording:
            model(given)
        tables.append(recording.table()[NAMES].to_numpy(float))
    assert np.array_equal(tables[0], tables[1])
    assert np.array_equal(tables[0], tables[2])


def test_complex_activations_are_masked_by_position():
    z = torch.randn(3, 5, 4, dtype=torch.complex64)
    keep = torch.rand(3, 5) > 0.4
    chosen = Mask(keep).select(readable(z, 2))
    assert chosen.values.shape == (int(keep.sum()), 8)
    assert torch.equal(torch.view_as_complex(chosen.values.unflatten(1, (4, 2))), z[keep])


def test_a_mask_function_that_fails_is_a_reason_and_does_not_stop_the_forward():
    model = Reader()

    def broken(tokens):
        raise KeyError("attention_mask")

    with sppkit.record(model, mask=broken, signals=["activation"]) as recording:
        model(sentences(4, 2))
    reasons = " ".join(map(str, recording.not_captured))
    assert "mask function failed, so padding was read too: KeyError: 'attention_mask'" in reasons
    assert row(recording, layer="mixing")["flags"] == UNMASKED


def test_a_mask_that_is_no_tensor_is_refused():
    with (
        sppkit.record(Reader()) as recording,
        pytest.raises(TypeError, match=r"True at the positions to read.*not list"),
    ):
        recording.mask([[True, False]])
