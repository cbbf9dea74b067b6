"""The evidence that rules judge: one run of a recording, cut to the phases that answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sppkit.recording import Recording
from sppkit.rules.curve import Array, Curve, curve_of
from sppkit.signals import Phase, Role, Signal, Tap
from sppkit.table import TABLE_COLUMNS

CURVE_PHASES = (Phase.PROBE, Phase.TRAIN, Phase.EVAL)
"""Where activations are read; of several phases the first that was recorded."""

LOSS_PHASES = ("loss", Phase.TRAIN)
"""Where gradients are those of a real loss; of several phases the first that was recorded."""

_TEXT = [column for column, kind in TABLE_COLUMNS.items() if kind == "category"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """One run at its first recorded step.

    Attributes:
        run: its name.
        table, structure: the rows of this run only.
        metadata: of this run.
    """

    run: str
    table: pd.DataFrame
    structure: pd.DataFrame
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, recording: Recording, run: str | None = None) -> "Evidence":
        """Cut the evidence of one run out of a recording.

        Raises:
            ValueError: no such run, or several and none was named.
        """
        name = _one_run(recording, run)
        table, structure = recording.table(), recording.structure()
        table = table[table["run"] == name].astype(dict.fromkeys(_TEXT, "object"))
        return cls(
            name,
            table[(table["step"] == table["step"].min()) & (table["rank"] == table["rank"].min())],
            structure[structure["run"] == name],
            recording.metadata[name],
        )

    # -- what was recorded ---------------------------------------------------------------------

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were recorded."""
        return tuple(sorted(int(seed) for seed in self.table["seed"].unique()))

    @property
    def observed(self) -> bool:
        """Say whether any activation was read."""
        return bool((self.table["signal"] == Signal.ACTIVATION).any())

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Rows of the probe with the unit gradient, or of what stands in for it."""
        return self._first_phase(CURVE_PHASES)

    @cached_property
    def under_loss(self) -> pd.DataFrame:
        """Rows of the pass under a real loss; empty where there was none."""
        return self._first_phase(LOSS_PHASES)

    def _first_phase(self, phases: tuple[str, ...]) -> pd.DataFrame:
        recorded = [p for p in phases if (self.table["phase"] == p).any()]
        return self.table[self.table["phase"] == (recorded[0] if recorded else "")]

    # -- places --------------------------------------------------------------------------------

    @cached_property
    def weighted(self) -> pd.DataFrame:
        """Layers with a weight matrix or kernel, in order of execution."""
        rows = self.structure[self.structure["fan_in"].notna() & self.structure["depth"].notna()]
        return rows.sort_values("depth")

    @cached_property
    def normalised(self) -> frozenset[str]:
        """Weighted layers before a normalisation: their scale has no effect."""
        rows = self.weighted
        return frozenset(rows.loc[rows["normalised_after"].fillna(False), "layer"])

    @cached_property
    def head(self) -> str:
        """Name of the last weighted layer, where there are several; else ""."""
        return str(self.weighted["layer"].iloc[-1]) if len(self.weighted) > 1 else ""

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """Names of the weighted layers before the head, in order of execution."""
        return tuple(layer for layer in self.weighted["layer"] if layer != self.head)

    @property
    def has_blocks(self) -> bool:
        """Say whether the network has residual blocks."""
        return bool((self.structure["tap"] == Tap.BLOCK).any())

    @cached_property
    def stream(self) -> pd.DataFrame:
        """Rows of the places at which the signal's scale means something.

        With residual blocks the stem and the blocks; else the outputs of the weighted layers, and
        where a normalisation follows one, the output of the normalisation instead. The head, whose
        scale is a matter of taste, is left out.
        """
        rows = self.curves
        if self.has_blocks:
            return rows[rows["tap"].isin([Tap.STEM, Tap.BLOCK])]
        leaves = rows[(rows["role"] == Role.LEAF) & ~_repeated(rows)]
        weighted = set(self.weighted["layer"]) - self.normalised - {self.head}
        norms = set(self._norms_behind_weights)
        return leaves[leaves["layer"].isin(weighted | norms)]

    @cached_property
    def _norms_behind_weights(self) -> frozenset[str]:
        norms = self.structure["computes"].fillna("").str.contains("norm")
        return frozenset(self.structure.loc[norms, "layer"])

    def leaves(self, layers: Iterable[str]) -> pd.DataFrame:
        """Rows of the outputs of some layers."""
        rows = self.curves
        return rows[(rows["role"] == Role.LEAF) & rows["layer"].isin(set(layers))]

    def source(self, layer: str) -> tuple[str, int | None]:
        """Give file and line of the class of a layer; "" and None where they are not known."""
        rows = self.structure[
            (self.structure["layer"] == layer) & (self.structure["operation"] == "")
        ]
        if rows.empty or pd.isna(rows["file"].iloc[0]):
            return "", None
        line = rows["line"].iloc[0]
        return str(rows["file"].iloc[0]), None if pd.isna(line) else int(line)

    # -- quantities along the network ----------------------------------------------------------

    def activation(self, column: str) -> Curve:
        """Give a statistic of the activation along the stream."""
        return curve_of(_signal(self.stream, Signal.ACTIVATION), column)

    def of_hidden(self, column: str) -> Curve:
        """Give a statistic of the output of each weighted layer before the head."""
        return self.of_layers(self.hidden, column)

    def of_layers(self, layers: Iterable[str], column: str) -> Curve:
        """Give a statistic of the output of some layers, in order of execution."""
        return curve_of(_signal(self.leaves(layers), Signal.ACTIVATION), column)

    @cached_property
    def backward(self) -> Curve:
        """Give Σg², summed over all values of a place of the stream, under the unit gradient."""
        return curve_of(_with_total(_signal(self.stream, Signal.GRADIENT)), "total")

    @cached_property
    def energy(self) -> Curve:
        """Give Σg² E[x²] of each place of the stream, under the unit gradient g.

        Constant along a network that is homogeneous of degree one (ReLU without biases), whatever
        the scales of its layers. It falls towards the input where the output forgets it, and rises
        where small changes grow (chaos).
        """
        second, backward = self.activation("second_moment"), self.backward
        unique = len(set(second.layers)) == len(second)
        if not unique or second.values.shape[0] != backward.values.shape[0]:
            return Curve((), np.empty((len(self.seeds), 0)))
        shared = [layer for layer in second.layers if layer in set(backward.layers)]
        return Curve(tuple(shared), pick(second, shared) * pick(backward, shared))

    @cached_property
    def weight_gradients(self) -> pd.DataFrame:
        """Rows of the gradients of weight matrices and kernels under a real loss, by execution."""
        rows = _signal(self.under_loss, Signal.WEIGHT_GRADIENT)
        matrices = rows[(rows["channels"] > 1) & (rows["samples"] > 1) & rows["depth"].notna()]
        summed = _with_total(matrices)
        return summed.assign(norm=np.sqrt(summed["total"]))

    @cached_property
    def gradient_norms(self) -> Curve:
        """Give ‖G‖ of each weight under a real loss; undefined where silence explains a zero."""
        return self._audible(curve_of(self.weight_gradients, "norm"))

    @cached_property
    def relative_gradients(self) -> Curve:
        """Give ‖G‖/‖W‖ of each weight under a real loss; undefined as `gradient_norms` is."""
        return self._audible(curve_of(self.weight_gradients, "norm_to_weight_ratio"))

    def _audible(self, curve: Curve) -> Curve:
        """Leave out zeros where a zero-initialised gain or head explains them: they do not last."""
        if not (self.silent or self.zero_head):
            return curve
        return Curve(curve.layers, np.where(curve.values > 0, curve.values, np.nan))

    # -- circumstances -------------------------------------------------------------------------

    @property
    def silent(self) -> tuple[str, ...]:
        """Names of zero-initialised gains and weights at the ends of residual branches."""
        names = ("silent_residual_gains", "silent_residual_weights")
        return tuple(parameter for name in names for parameter in self.metadata.get(name) or ())

    @cached_property
    def zero_head(self) -> bool:
        """Say whether the head's weight is exactly zero and was not woken for the probes."""
        rows = self.curves[
            (self.curves["layer"] == self.head) & (self.curves["role"] == Role.PARAMETER)
        ]
        weights = rows[(rows["signal"] == Signal.WEIGHT) & rows["tensor"].str.endswith("weight")]
        return bool(len(weights) and self.head and (weights["second_moment"] == 0).all())

    def loss_over_chance(self) -> Array:
        """Give the loss at initialisation over that of an answer without information, (S,).

        For cross-entropy the latter is ln(classes); NaN where it was not recorded.
        """
        loss = self.metadata.get("loss")
        chance = loss.get("chance") if isinstance(loss, Mapping) else None
        if not isinstance(loss, Mapping) or not chance or chance <= 0:
            return np.full(len(self.seeds), np.nan)
        values = [loss["values"].get(str(seed), np.nan) for seed in self.seeds]
        return np.array(values, dtype=np.float64) / float(chance)

    def output(self, quantity: str) -> Array:
        """Give "second_moment" or "variance_across_samples" of the network's output, (S,)."""
        stated = self.metadata.get("output", {})
        if stated:
            values = [stated.get(str(seed), {}).get(quantity, np.nan) for seed in self.seeds]
            return np.array(values, dtype=np.float64)
        column = "second_moment" if quantity == "second_moment" else "average_channel_variance"
        rows = _signal(self.curves, Signal.ACTIVATION)
        by_seed = rows[rows["layer"] == ""].groupby("seed")[column].first()
        return by_seed.reindex(list(self.seeds)).to_numpy(np.float64)


def pick(curve: Curve, layers: Iterable[str]) -> Array:
    """Give the values of some places, (S, len(layers))."""
    place = {layer: position for position, layer in enumerate(curve.layers)}
    return curve.values[:, [place[layer] for layer in layers]]


def _signal(rows: pd.DataFrame, signal: Signal) -> pd.DataFrame:
    return rows[rows["signal"] == signal]


def _with_total(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(total=rows["second_moment"] * rows["channels"] * rows["samples"])


def _repeated(rows: pd.DataFrame) -> pd.Series:
    """Say which rows only repeat another one."""
    return rows["flags"].fillna("").str.contains("alias of")


def _one_run(recording: Recording, run: str | None) -> str:
    if run is None and len(recording.runs) == 1:
        return recording.runs[0]
    if run is not None and run in recording.runs:
        return run
    runs = ", ".join(repr(name) for name in recording.runs) or "none"
    if run is None:
        raise ValueError(f"one run is judged at a time: give run=, one of {runs}")
    raise ValueError(f"the recording has no run {run!r}; it has {runs}")
