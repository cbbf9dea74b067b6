"""The evidence that rules judge: one run of a recording, cut to the phases that answer."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sppkit.recording import Recording, one_run
from sppkit.rules.curve import Array, Curve, curve_of
from sppkit.rules.places import own_source
from sppkit.rules.rows import Rows
from sppkit.signals import Phase, Role, Signal, Tap

CURVE_PHASES = (Phase.PROBE, Phase.TRAIN, Phase.EVAL)
"""Where activations are read; of several phases the first that was recorded."""

LOSS_PHASES = ("loss", Phase.TRAIN)
"""Where gradients are those of a real loss; of several phases the first that was recorded."""

REHEARSED = 0.25
"""Share of wrong answers, over that of chance, at which a rehearsal of training has succeeded and
ends. benchmarks/verdict: all of the 214 clear networks that reached it train."""

PROGRESSED = 0.5
"""The same, at which it contradicts those who foretell that nothing is learned; ours."""

MUTED = 1e-3
"""Share of the output's second moment that differs between samples, ours."""


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
        name = one_run(recording, run)
        table, structure = recording.table(), recording.structure()
        table = table[table["run"] == name]
        table = table[table["step"] == table["step"].min()]
        return cls(
            name,
            table[table["rank"] == table["rank"].min()],
            structure[structure["run"] == name],
            recording.metadata[name],
        )

    @cached_property
    def rows(self) -> Rows:
        """The table as arrays."""
        return Rows.of(self.table)

    # -- what was recorded ---------------------------------------------------------------------

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were recorded."""
        return tuple(int(seed) for seed in np.unique(self.rows["seed"]))

    @property
    def observed(self) -> bool:
        """Say whether any activation was read."""
        return len(self.rows.where(signal=Signal.ACTIVATION)) > 0

    @cached_property
    def curves(self) -> Rows:
        """Rows of the probe with the unit gradient, or of what stands in for it."""
        return self._first_phase(CURVE_PHASES)

    @cached_property
    def under_loss(self) -> Rows:
        """Rows of the pass under a real loss; empty where there was none."""
        return self._first_phase(LOSS_PHASES)

    @property
    def has_loss(self) -> bool:
        """Say whether there was a pass under a real loss, even if no gradient came of it."""
        return isinstance(self.metadata.get("loss"), Mapping) or len(self.under_loss) > 0

    def _first_phase(self, phases: tuple[str, ...]) -> Rows:
        recorded = [phase for phase in phases if (self.rows["phase"] == phase).any()]
        return self.rows.where(phase=recorded[0] if recorded else "")

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
        """Name of the last weighted layer, where there are several; "" without such a layer.

        A last layer inside of a residual block is none: others pass it by.
        """
        if len(self.weighted) < 2:
            return ""
        last = self.weighted.iloc[-1]
        blocks = self.structure.loc[self.structure["tap"] == Tap.BLOCK, "depth"]
        return "" if (blocks > last["depth"]).any() else str(last["layer"])

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """Names of the weighted layers before the head, in order of execution."""
        return tuple(layer for layer in self.weighted["layer"] if layer != self.head)

    @property
    def has_blocks(self) -> bool:
        """Say whether the network has residual blocks."""
        return bool((self.structure["tap"] == Tap.BLOCK).any())

    @cached_property
    def stream(self) -> Rows:
        """Rows of the places at which the signal's scale means something.

        With residual blocks the stem and the blocks; else the outputs of the weighted layers, and
        where a normalisation follows one, the output of the normalisation instead. The head, whose
        scale is a matter of taste, is left out.
        """
        if self.has_blocks:
            return self.curves.among("tap", {Tap.STEM, Tap.BLOCK})
        weighted = set(self.weighted["layer"]) - self.normalised - {self.head}
        norms = self.structure["computes"].fillna("").str.contains("norm")
        return self.leaves(weighted | set(self.structure.loc[norms, "layer"]))

    def leaves(self, layers: Container[object]) -> Rows:
        """Rows of the outputs of some layers, those left out that only repeat another's."""
        return self._leaves.among("layer", layers)

    @cached_property
    def _leaves(self) -> Rows:
        leaves = self.curves.where(role=Role.LEAF)
        return leaves.keep(np.array(["alias of" not in flags for flags in leaves["flags"]], bool))

    @cached_property
    def outputs(self) -> Rows:
        """Rows of the activations of all leaves that do not only repeat another's."""
        return self._leaves.where(signal=Signal.ACTIVATION)

    def source(self, layer: str) -> tuple[str, int | None]:
        """Give file and line of the innermost class of the user's around a layer, if any."""
        return own_source(self.structure, layer)

    # -- quantities along the network ----------------------------------------------------------

    def activation(self, column: str) -> Curve:
        """Give a statistic of the activation along the stream."""
        return curve_of(self.stream.where(signal=Signal.ACTIVATION), column)

    def of_hidden(self, column: str) -> Curve:
        """Give a statistic of the output of each weighted layer before the head."""
        return self.of_layers(self.hidden, column)

    def of_layers(self, layers: Container[object], column: str) -> Curve:
        """Give a statistic of the output of some layers, in order of execution."""
        return curve_of(self.leaves(layers).where(signal=Signal.ACTIVATION), column)

    @cached_property
    def backward(self) -> Curve:
        """Give Σg², summed over all values of a place of the stream, under the unit gradient."""
        rows = self.stream.where(signal=Signal.GRADIENT)
        return curve_of(rows, _total(rows))

    @property
    def has_several_outputs(self) -> bool:
        """Say whether the network returns more than one tensor."""
        outputs = self.curves.where(layer="", operation="", signal=Signal.ACTIVATION)
        return len(set(outputs["tensor"])) > 1

    def energy_of(self, layer: str) -> Array:
        """Give Σg² E[x²] of a layer's output x, with the unit gradient g, (S,).

        Added up over its calls and over the tensors it returns; "" is the whole network.

        Constant along a network that is homogeneous of degree one (ReLU without biases), whatever
        the scales of its layers, at places that all paths pass. It falls towards the input where
        the output forgets it, and rises where small changes grow (chaos). Undefined where no
        gradient was seen.
        """
        rows = self.curves.where(layer=layer, operation="")
        forward = curve_of(rows.where(signal=Signal.ACTIVATION), "second_moment")
        gradients = rows.where(signal=Signal.GRADIENT)
        backward = curve_of(gradients, _total(gradients))
        if forward.layers != backward.layers or not len(forward):
            return np.full(len(self.seeds), np.nan)
        energy = forward.values * backward.values
        return np.where(np.isnan(energy).all(axis=1), np.nan, np.nansum(energy, axis=1))

    @cached_property
    def weight_gradients(self) -> Rows:
        """Rows of the gradients of weight matrices and kernels under a real loss.

        Those inside silent residual branches are left out: their gradients are as small as the
        zero-initialised gain behind them, and grow with it.
        """
        rows = self.under_loss.where(signal=Signal.WEIGHT_GRADIENT)
        rows = rows.keep((rows["channels"] > 1) & (rows["samples"] > 1) & (rows["place"] >= 0))
        prefixes = tuple(f"{owner}." for owner in self._owners_of_silent_branches)
        outside = [not f"{layer}.".startswith(prefixes) for layer in rows["layer"]]
        return rows.keep(np.array(outside, dtype=np.bool_)) if prefixes else rows

    @cached_property
    def gradient_norms(self) -> Curve:
        """Give ‖G‖ of each weight under a real loss; undefined where silence explains a zero."""
        return self.audible(self.weight_gradients, np.sqrt(_total(self.weight_gradients)))

    @cached_property
    def relative_gradients(self) -> Curve:
        """Give ‖G‖/‖W‖ of each weight under a real loss; undefined as `gradient_norms` is.

        Of weights that are all zero, as half of Fixup's are, it is undefined too.
        """
        ratios = self.weight_gradients["norm_to_weight_ratio"]
        return self.audible(self.weight_gradients, np.where(np.isinf(ratios), np.nan, ratios))

    def audible(self, rows: Rows, values: str | Array) -> Curve:
        """Lay gradients out; zeros that a zero-initialised weight or gain explains are left out.

        Such a zero does not last: the silent weight itself gets a gradient. Where no hidden layer
        gets one, nothing is left out.
        """
        curve = curve_of(rows, values)
        heard = curve.values[:, [layer != self.head for layer in curve.layers]] > 0
        if not self.starts_silent or (not heard.any() and not self.zero_head):
            return curve
        return Curve(curve.layers, np.where(curve.values > 0, curve.values, np.nan))

    # -- circumstances -------------------------------------------------------------------------

    @property
    def silent(self) -> tuple[str, ...]:
        """Names of zero-initialised gains and weights at the ends of residual branches."""
        names = ("silent_residual_gains", "silent_residual_weights")
        return tuple(parameter for name in names for parameter in self.metadata.get(name) or ())

    @cached_property
    def _owners_of_silent_branches(self) -> tuple[str, ...]:
        """Names of the modules whose forward merges a silent branch; the root never counts."""
        ends = self.structure[self.structure["tap"] == Tap.RESIDUAL_BRANCH]
        silent = set(self.silent)
        modules = {name.rpartition(".")[0] for name in silent}
        owners = {
            str(merge).rpartition(":")[0]
            for layer, gains, merge in ends[["layer", "gains", "merge"]].itertuples(index=False)
            if layer in modules or silent & set(str(gains).split(", "))
        }
        return tuple(sorted(owners - {""}))

    @cached_property
    def zero_head(self) -> bool:
        """Say whether the head's weight is exactly zero and was not woken for the probes."""
        rows = self.curves.where(layer=self.head, signal=Signal.WEIGHT, tensor="weight")
        return bool(self.head and len(rows) and (rows["second_moment"] == 0).all())

    @property
    def starts_silent(self) -> bool:
        """Say whether some gain at the end of a branch, or some weight, is zero."""
        return bool(self.silent or self.zero_weights)

    @cached_property
    def zero_weights(self) -> frozenset[str]:
        """Names of the layers whose weight, as it is stored or used, is zero."""
        weights = self.curves.where(tensor="weight", role=Role.PARAMETER)
        zero = weights.keep(weights["second_moment"] == 0)
        return frozenset(zero.among("signal", {Signal.WEIGHT, Signal.EFFECTIVE_WEIGHT})["layer"])

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
        rows = self.curves.where(signal=Signal.ACTIVATION, layer="", operation="")
        by_seed = dict(zip(rows["seed"][::-1], rows[column][::-1], strict=True))
        return np.array([by_seed.get(seed, np.nan) for seed in self.seeds], dtype=np.float64)

    def rehearsed(self, quantity: str) -> Array:
        """Give "error" or "loss" at the end of a rehearsal of training, over that of chance, (S,).

        Only the first seeds are rehearsed: the others take the median of these. NaN where there
        was no rehearsal; `not_rehearsed` says why.
        """
        stated = self._rehearsal.get("values", {})
        known = {seed: float(value[quantity]) for seed, value in stated.items()}
        usual = float(np.median(list(known.values()))) if known else np.nan
        return np.array([known.get(str(seed), usual) for seed in self.seeds], dtype=np.float64)

    @property
    def not_rehearsed(self) -> str:
        """Why there was no rehearsal of training; "" where there was one."""
        if self._rehearsal.get("values"):
            return ""
        return str(self._rehearsal.get("left_out") or "none was recorded")

    @cached_property
    def rehearsal_succeeded(self) -> bool:
        """Say whether training led to its goal with every seed that was rehearsed."""
        return self._rehearsed_to(REHEARSED)

    @cached_property
    def rehearsal_progressed(self) -> bool:
        """Say whether it led at least half of the way with every seed that was rehearsed."""
        return self._rehearsed_to(PROGRESSED)

    def _rehearsed_to(self, limit: float) -> bool:
        errors = self.rehearsed("error")
        return bool(errors.size) and bool((errors <= limit).all())

    @property
    def _rehearsal(self) -> Mapping[str, Any]:
        stated: Mapping[str, Any] = self.metadata.get("rehearsal") or {}
        return stated

    def share_across_samples(self) -> Array:
        """Give the share of the output's second moment that differs between samples, (S,).

        Of an output that is zero it is zero. Undefined where silent branches stand between input
        and output.
        """
        share = self._share_across_samples()
        return np.full_like(share, np.nan) if self.is_muted else share

    @cached_property
    def is_muted(self) -> bool:
        """Say whether the output hears of the input only through silent residual branches.

        So it is with class tokens and LayerScale (CaiT, DeiT III, DINOv2): what is sick elsewhere,
        an output that is the same for every sample, is how they begin.
        """
        share = self._share_across_samples()
        return bool(self.silent) and bool((share < MUTED).any())

    def _share_across_samples(self) -> Array:
        second, across = self.output("second_moment"), self.output("variance_across_samples")
        with np.errstate(all="ignore"):
            return np.where(second == 0.0, 0.0, across / second)

    @property
    def batch_normalisations(self) -> int:
        """Count the layers of batch normalisation that used the statistics of the batch."""
        in_train = self.metadata.get("mode") != "eval"
        return int((self.structure["computes"] == "batch_norm").sum()) if in_train else 0


def _total(rows: Rows) -> Array:
    total: Array = rows["second_moment"] * rows["channels"] * rows["samples"]
    return total
