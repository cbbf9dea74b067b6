"""A change of a network: what it was before, what it is after, and the way back."""

from types import TracebackType
from typing import Any, Self

import pandas as pd
import torch
from torch import nn

from sppkit.capture.calls.compiled_modules import original
from sppkit.capture.planning.parameters import effective_weights
from sppkit.capture.steps.state import State
from sppkit.init.layers import fan_in, weight_of, weighted_layers
from sppkit.init.trial import Run, as_run, measure
from sppkit.signals import Tap

_STATISTICS = ["average_channel_squared_mean", "average_channel_variance", "second_moment"]
_PLACE = ["layer", "operation", "tap", "block"]
_MOST_ROWS = 60
_SHOWN = {"variance": "average_channel_variance", "weight gain": "weight_gain"}


class Change:
    """Measure what is done to a network inside a `with` block, and be able to undo it.

        with sppkit.init.Change(model, batch) as change:
            sppkit.init.initialize_weights(model, "he")
            sppkit.init.scale_attention(model)
        change.undo()

    It holds for every function of `sppkit.init`, several of them, and edits by hand. The network is
    run on the batch when the block is entered and when it is left, in its mode and with the same
    random numbers; weights, buffers and generators are as they were after each of these runs. An
    error inside the block, or in the run after it, undoes what was done.

    Both frames have one row per weighted layer, and per place of a signal propagation plot:

    - `layer`, `operation`, `tap`, `block` as in the table of a recording;
    - `average_channel_squared_mean`, `average_channel_variance`, `second_moment` of the output;
    - `weight_gain`: fan-in x mean square of the weights as used, by which a layer multiplies the
      second moment of independent inputs.

    Without a batch and `run` only `weight_gain` is there, and the network is not run.

    Args:
        model: any module; a copy of its tensors is kept for `undo`.
        *args: positional arguments of its forward: a batch of data.
        run: runs the forward of the model it is given, where `args` do not suffice.

    Attributes:
        before: the frame from when the block was entered.
        after: the frame from when it was left; empty until then.

    Raises:
        ValueError: both a batch and `run` are given.
    """

    def __init__(self, model: nn.Module, *args: Any, run: Run | None = None) -> None:
        self._model = model
        self._run = as_run(args, run) if args or run else None
        self._state: State | None = None
        self.before = self.after = pd.DataFrame(columns=[*_PLACE, *_STATISTICS, "weight_gain"])

    def __enter__(self) -> Self:
        """Measure the network, and remember it."""
        self.before = _frame(self._model, self._run)
        self._state = State(original(self._model))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Measure it again; where anything failed, undo what was done."""
        if kind is not None:
            self.undo()
            return
        try:
            self.after = _frame(self._model, self._run)
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Bring weights, buffers, parametrizations, modules and modes back, bit for bit.

        It may be called again, also after training. Gradients stay, and parameters that the change
        has added, which an optimiser may hold, are no longer part of the network.

        Raises:
            ValueError: the `with` block has not been entered.
        """
        if self._state is None:
            raise ValueError("there is nothing to undo before `with Change(...)` has been entered")
        self._state.restore()

    def table(self) -> pd.DataFrame:
        """Join both frames, by place: columns end in `_before` and `_after`.

        Layers that are there only before or after, as those of a conversion, have NaN elsewhere.
        """
        joined = self.before.merge(
            self.after, how="outer", on=["layer", "operation"], suffixes=("_before", "_after")
        )
        for column in ("tap", "block"):
            after, before = joined.pop(f"{column}_after"), joined.pop(f"{column}_before")
            joined.insert(2, column, after.where(after.notna(), before))
        places = dict.fromkeys([*_keys(self.after), *_keys(self.before)])
        order = {key: rank for rank, key in enumerate(places)}
        ranks = [order[key] for key in _keys(joined)]
        return joined.iloc[sorted(range(len(ranks)), key=ranks.__getitem__)].reset_index(drop=True)

    def __repr__(self) -> str:
        """Say in a line what became of the blocks, or of the layers where there are no blocks."""
        return (
            f"Change({type(original(self._model)).__name__}, "
            f"{_span(self.before)} before, {_span(self.after)} after)"
        )

    def __str__(self) -> str:
        """Show the table, of the first places where there are many."""
        table = self.table()
        names = [_name(row) for _, row in table.iterrows()]
        width = max(map(len, names), default=0)
        columns = {
            f"{short} {when}": [_short(value) for value in table[f"{column}_{when}"]]
            for short, column in _SHOWN.items()
            for when in ("before", "after")
        }
        shown = pd.DataFrame({"": [name.ljust(width) for name in names], **columns})
        rest = len(shown) - _MOST_ROWS
        more = f"\n... and {rest} more: see .table()" if rest > 0 else ""
        return f"{self!r}\n{shown.head(_MOST_ROWS).to_string(index=False)}{more}"


def _short(value: float) -> str:
    return "" if value != value else f"{value:.3g}"


def _keys(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(frame["layer"], frame["operation"], strict=True))


def _name(row: "pd.Series[Any]") -> str:
    place = ".".join(filter(None, (row["layer"], row["operation"]))) or "the network"
    if not row["tap"]:
        return place
    number = f" {row['block']:g}" if row["tap"] != Tap.STEM else ""
    return f"{row['tap']}{number}: {place}"


def _span(frame: pd.DataFrame) -> str:
    """Give the range of the variance of the blocks, else of the layers, else of the weight gain."""
    blocks = frame[frame["tap"] == Tap.BLOCK]
    chosen, what = (frame, "layers") if blocks.empty else (blocks, "blocks")
    variance = chosen["average_channel_variance"].dropna()
    if not variance.empty:
        return f"variance of {what} {variance.min():.3g} to {variance.max():.3g}"
    gain = frame["weight_gain"].dropna()
    return f"weight gain {gain.min():.3g} to {gain.max():.3g}" if len(gain) else "nothing measured"


def _frame(model: nn.Module, run: Run | None) -> pd.DataFrame:
    gains = pd.DataFrame(
        [(name, "", _weight_gain(module)) for name, module in _layers(model).items()],
        columns=["layer", "operation", "weight_gain"],
    )
    unmeasured = dict.fromkeys(("block", *_STATISTICS), float("nan")) | {"tap": ""}
    unmeasured_layers = gains.assign(**unmeasured)[[*_PLACE, *_STATISTICS, "weight_gain"]]
    if run is None:
        return unmeasured_layers
    table, _ = measure(model, run)
    first = table[(table["call"] == 0) & (table["signal"] == "activation")]
    first = first.drop_duplicates(["layer", "operation"]).sort_values("depth")
    signals = first[[*_PLACE, *_STATISTICS]].astype({"layer": object, "operation": object})
    joined = signals.merge(gains, how="left", on=["layer", "operation"])
    wanted = joined["weight_gain"].notna() | (joined["tap"] != "")
    never_called = ~gains["layer"].isin(signals["layer"])
    rows = [joined[wanted], unmeasured_layers[never_called]]
    return pd.concat([part for part in rows if len(part)] or rows[:1], ignore_index=True)


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    return weighted_layers(original(model))


@torch.no_grad()
def _weight_gain(module: nn.Module) -> float:
    used = effective_weights(module).get("weight")
    weight = weight_of(module) if used is None else used
    return float(fan_in(module) * weight.double().square().mean())
