"""The short hooks of a planned pass, next to what a user would read by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sppkit
from sppkit.capture.writing.planned_watch import PlannedWatch


class Doubling(nn.Module):
    """A layer of the user's own, which adds without being a part of any branch."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, x)


class Fragile(nn.Module):
    """A layer that may raise."""

    def __init__(self) -> None:
        super().__init__()
        self.raises = False
        self.weight = nn.Parameter(torch.randn(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        if self.raises:
            raise ArithmeticError("no more")
        return x @ self.weight


class Block(nn.Module):
    """Adds twice, with layers that add by themselves in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)  # counts its batches with add_
        self.doubling = Doubling()
        self.linear = nn.Linear(width, width)
        self.fragile = Fragile()
        self.seen: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        try:
            branch = self.fragile(self.norm(x))
        except ArithmeticError:
            branch = self.norm.weight * x
        first = x + branch
        second = first + self.doubling(self.linear(first))
        self.seen = {"add#1": first.detach(), "add#2": second.detach()}
        second.register_hook(self._see_gradient)
        return second

    def _see_gradient(self, gradient: Tensor) -> None:
        self.seen["gradient"] = gradient.detach()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 8)
        self.norm, self.doubling = nn.BatchNorm1d(8), Doubling()
        self.offset = nn.Parameter(torch.randn(8))
        self.seen = torch.zeros(())
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.doubling(self.norm(self.stem(x))) + self.offset
        self.seen = x.detach()
        return self.head(self.blocks(x))


def record(
    net: Net, steps: int, at: int | None = None, granularity: str = "operation"
) -> sppkit.Recording:
    """Record steps of a batch of its own each; one of them with a layer that raises."""
    with sppkit.record(net, granularity=granularity) as recording:
        for step in range(steps):
            net.blocks[0].fragile.raises = step == at
            net(torch.randn(16, 5)).square().sum().backward()
            recording.step()
    return recording


def rows_of(recording: sppkit.Recording, step: int, signal: str) -> dict[tuple[str, str], float]:
    table = recording.table()
    rows = table[(table.step == step) & (table.signal == signal)]
    return {(r.layer, r.operation): r.second_moment for r in rows.itertuples()}


def test_additions_keep_their_numbers_where_layers_add_in_between():
    net = Net()
    recording = record(net, 3)
    found = rows_of(recording, 2, "activation")
    for name, block in zip(("blocks.0", "blocks.1"), net.blocks, strict=True):
        wanted = block.seen["add#1"].double().square().mean().item()
        assert found[name, "add#1"] == pytest.approx(wanted, rel=1e-6)
    last = net.blocks[1].seen["add#2"].double().square().mean().item()
    assert found["blocks.1", "add#2"] == pytest.approx(last, rel=1e-6)
    gradients = rows_of(recording, 2, "gradient")
    gradient = net.blocks[1].seen["gradient"].double().square().mean().item()
    assert gradients["blocks.1", "add#2"] == pytest.approx(gradient, rel=1e-6)


def test_additions_of_layers_without_parts_are_not_those_of_their_container():
    net = Net()
    found = rows_of(record(net, 3, granularity="layer"), 2, "activation")
    assert found["", "add#1"] == pytest.approx(net.seen.double().square().mean().item(), rel=1e-6)
    assert [layer for layer, operation in found if operation] == [""]


def test_a_later_step_has_the_rows_of_the_traced_one():
    table = record(Net(), 3).table()
    keys = ["layer", "call", "operation", "tensor", "signal", "channels"]
    first, *others = (table[table.step == step][keys].to_numpy().tolist() for step in range(3))
    assert all(sorted(map(str, rows)) == sorted(map(str, first)) for rows in others)


def test_a_layer_that_raises_does_not_silence_the_additions_after_it():
    net = Net()
    recording = record(net, 4, at=2)
    for step in (1, 2, 3):
        found = rows_of(recording, step, "activation")
        assert ("blocks.0", "add#1") in found, step
    assert ("blocks.0.fragile", "") not in rows_of(recording, 2, "activation")
    assert ("blocks.0.fragile", "") in rows_of(recording, 3, "activation")


def test_short_hooks_write_residual_networks(monkeypatch: pytest.MonkeyPatch):
    general = []
    monkeypatch.setattr(PlannedWatch, "leave_layer", lambda *details: general.append(details))
    net = Net()
    with sppkit.record(net, blocks="blocks.*") as recording:
        for _ in range(3):
            net(torch.randn(16, 5)).square().sum().backward()
            recording.step()
    assert not general
    assert np.isfinite(recording.table().second_moment).all()


@pytest.mark.parametrize("is_hooked_before", [False, True])
def test_hooks_of_the_user_on_the_same_tensor_stay(is_hooked_before: bool):
    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(3, 3), nn.Linear(3, 1)
            self.heard = 0

        def hear(self, gradient: Tensor) -> None:
            self.heard += 1

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.inner(x)
            hidden.register_hook(self.hear)
            return self.outer(hidden)

    net = Watched()
    if is_hooked_before:
        net.inner.register_forward_hook(
            lambda m, a, output: (output.register_hook(net.hear), None)[1]
        )
    with sppkit.record(net) as recording:
        for _ in range(3):
            output = net(torch.randn(4, 3)).sum()
            output.backward(retain_graph=True)
            recording.step()
    heard = net.heard
    assert heard == 3 * (1 + is_hooked_before)
    output.backward()  # after the recording: the user's hooks are still there, ours are not
    assert net.heard == heard + 1 + is_hooked_before
    assert (
        recording.table().query("signal == 'gradient' and layer != ''").groupby("step").size() == 2
    ).all()
