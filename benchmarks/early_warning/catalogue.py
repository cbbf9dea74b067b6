"""The trainings: healthy ones, and those in which something goes wrong at a known step."""

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn

from benchmarks.early_warning.faults import (
    BadBatches,
    GrowingGain,
    GrowingStream,
    NormalisationRemoved,
)
from sppkit.models import find_reference
from sppkit.training.recipes import Clipping, Recipe

HEALTHY = "healthy"
RATE, WARM_UP, FLOAT16, NORMALISATION, BATCH, GAIN = (
    "learning rate too high",
    "warm-up removed",
    "float16 overflow",
    "batch normalisation removed late",
    "bad batch",
    "residual gain explodes",
)
KINDS = (RATE, WARM_UP, FLOAT16, NORMALISATION, BATCH, GAIN)

BATCH_SIZE = 32
STEPS_PER_EPOCH = 42
EVERY = 5
"""Recorded steps: one in so many. The report looks at every second one of them."""


@dataclass(frozen=True)
class Case:
    """One training.

    Attributes:
        name: unlike all others.
        kind: `HEALTHY`, or what goes wrong.
        network: name of what is built.
        build: builds it.
        size: of a sample.
        recipe: how it is trained.
        onset: the step from which on something goes wrong; of healthy ones the number of steps.
        seed: of weights and data.
        amp: precision.
    """

    name: str
    kind: str
    network: str
    build: Callable[[], nn.Module]
    size: tuple[int, ...]
    recipe: Recipe
    onset: int
    seed: int
    amp: Literal["off", "fp16"] = "off"

    @property
    def is_for_fitting(self) -> bool:
        """Whether thresholds were fitted with it in view: the first seed, but for `HELD_OUT`."""
        return self.seed == SEEDS[0] and self.network not in HELD_OUT


SEEDS = (0, 1)
HELD_OUT = frozenset({"gaur_cnn_digits", "efficientnet_digits_sn"})
"""Networks of which nothing was looked at before the thresholds were fixed."""

RECIPE = Recipe(
    name="",
    reference="",
    paper="",
    dataset="digits",
    batch_size=BATCH_SIZE,
    epochs=12,
    learning_rate=0.01,
    rate_scales_with_batch=False,
    schedule="cosine",
)


def _recipe(**changes: object) -> Recipe:
    return dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]


def optimisers(network: str) -> dict[str, Recipe]:
    """Give the recipes of the healthy runs; residual networks without norm need a higher rate."""
    rate = 0.05 if network in _SLOW else 0.01
    return {
        "sgd": _recipe(learning_rate=rate, warmup_epochs=0.5),
        "sgd-constant": _recipe(learning_rate=rate, schedule="constant"),
        "adam": _recipe(optimizer="adam", learning_rate=2e-3, warmup_epochs=0.25),
        "adam-constant": _recipe(optimizer="adam", learning_rate=1e-3, schedule="constant"),
    }


_SLOW = frozenset({"nf_resnet_digits", "skipinit_resnet_digits", "fixup_resnet_digits"})

NETWORKS = (
    *("ffnn_digits", "ffnn_bn_digits", "sn_mlp", "cnn_digits"),
    *("bn_resnet_digits", "nf_resnet_digits", "skipinit_resnet_digits", "fixup_resnet_digits"),
    *sorted(HELD_OUT),
)


def reference(name: str) -> Callable[[], nn.Module]:
    """Give what builds a bundled network for the ten classes of digits."""
    made = find_reference(name).factory()
    takes_classes = "classes" in inspect.signature(made).parameters
    return partial(made, **({"classes": 10} if takes_classes else {}))


def _size(name: str) -> tuple[int, ...]:
    return tuple(find_reference(name).input_size)


def cases() -> list[Case]:
    """List all trainings, seed by seed, so that any beginning of the list is a fair sample."""
    makers = (_healthy, _rates, _warm_ups, _overflows, _normalisations, _batches, _gains)
    return [case for seed in SEEDS for make in makers for case in make(seed)]


def _healthy(seed: int) -> Iterator[Case]:
    pairs = ((network, *chosen) for network in NETWORKS for chosen in optimisers(network).items())
    for network, name, recipe in pairs:
        yield _case(HEALTHY, network, reference(network), _size(network), recipe, 504, seed, name)
    own: dict[str, Callable[[], nn.Module]]
    own = {"residual-mlp": partial(GrowingGain, 0, 1.0), "stream": partial(GrowingStream, 0, 1.0)}
    for network, build in own.items():
        recipe = optimisers(network)["sgd" if network == "stream" else "adam"]
        yield _case(HEALTHY, network, build, _PICTURE, recipe, 504, seed, "")
    recipe = optimisers("stream")["sgd"]
    yield _case(HEALTHY, "stream", own["stream"], _PICTURE, recipe, 504, seed, "fp16", amp="fp16")
    yield from _clipped(seed)


def _clipped(seed: int) -> Iterator[Case]:
    for network, clipping in (
        ("nf_resnet_digits", Clipping(method="adaptive", limit=0.02)),
        ("ffnn_digits", Clipping(method="norm", limit=1.0)),
        ("sn_mlp", Clipping(method="adaptive", limit=0.01)),
    ):
        recipe = dataclasses.replace(optimisers(network)["sgd"], clipping=clipping)
        build, size, detail = reference(network), _size(network), f"clipped {clipping.method}"
        yield _case(HEALTHY, network, build, size, recipe, 504, seed, detail)


def _case(
    kind: str,
    network: str,
    build: Callable[[], nn.Module],
    size: tuple[int, ...],
    recipe: Recipe,
    onset: int,
    seed: int,
    detail: str,
    amp: Literal["off", "fp16"] = "off",
) -> Case:
    words = " ".join(word for word in (kind, network, detail, f"seed{seed}") if word)
    return Case(words.replace(" ", "-"), kind, network, build, size, recipe, onset, seed, amp)


def _rates(seed: int) -> Iterator[Case]:
    yield from _ramps(seed)
    for network, factor in itertools.product(
        ("ffnn_digits", "cnn_digits", "skipinit_resnet_digits", "sn_mlp"), (5.0, 10.0, 30.0)
    ):
        recipe = _recipe(schedule="steps", milestones=(5,), step_factor=factor)
        build, size = reference(network), _size(network)
        onset = 5 * STEPS_PER_EPOCH
        yield _case(RATE, network, build, size, recipe, onset, seed, f"times {factor:g}")


def _ramps(seed: int) -> Iterator[Case]:
    """Let the rate grow in every epoch, from the fifth on, far past what can be trained with."""
    networks = (
        *("ffnn_digits", "sn_mlp", "cnn_digits", "nf_resnet_digits", "skipinit_resnet_digits"),
        *sorted(HELD_OUT),
    )
    for network, optimizer, factor in itertools.product(networks, ("sgd", "adam"), (1.5, 2.0)):
        healthy = optimisers(network)[optimizer]
        recipe = dataclasses.replace(
            healthy, epochs=20, schedule="steps", milestones=tuple(range(4, 20)), step_factor=factor
        )
        onset = 4 * STEPS_PER_EPOCH
        detail = f"{optimizer} times {factor:g} per epoch"
        yield _case(RATE, network, reference(network), _size(network), recipe, onset, seed, detail)


def _warm_ups(seed: int) -> Iterator[Case]:
    for network in ("ffnn_digits", "sn_mlp", "nf_resnet_digits", "cnn_digits"):
        for rate in (0.1, 0.3):
            recipe = _recipe(learning_rate=rate)
            build, size = reference(network), _size(network)
            yield _case(WARM_UP, network, build, size, recipe, 0, seed, f"rate {rate}")


def _overflows(seed: int) -> Iterator[Case]:
    recipe = optimisers("stream")["sgd"]
    for growth in (1.03, 1.05, 1.1):
        build, detail = partial(GrowingStream, 126, growth), f"growth {growth}"
        yield _case(FLOAT16, "stream", build, _PICTURE, recipe, 126, seed, detail, amp="fp16")


def _normalisations(seed: int) -> Iterator[Case]:
    for network, rate in itertools.product(
        ("bn_resnet_digits", "ffnn_bn_digits"), (0.003, 0.01, 0.03, 0.1)
    ):
        recipe = _recipe(learning_rate=rate, schedule="constant", warmup_epochs=0.5)
        build = partial(_without_normalisation, reference(network))
        detail = f"rate {rate}"
        yield _case(NORMALISATION, network, build, _size(network), recipe, 126, seed, detail)


def _without_normalisation(build: Callable[[], nn.Module]) -> nn.Module:
    return NormalisationRemoved(build(), 126)


def _batches(seed: int) -> Iterator[Case]:
    for network in ("ffnn_digits", "nf_resnet_digits", "bn_resnet_digits", "sn_mlp"):
        recipe, build = optimisers(network)["sgd"], partial(_with_bad_batch, reference(network))
        yield _case(BATCH, network, build, _size(network), recipe, 252, seed, "")


def _with_bad_batch(build: Callable[[], nn.Module]) -> nn.Module:
    return BadBatches(build(), 252, 1000.0)


def _gains(seed: int) -> Iterator[Case]:
    recipe = optimisers("residual-mlp")["adam"]
    for growth in (1.005, 1.01, 1.02, 1.05):
        build, detail = partial(GrowingGain, 126, growth), f"growth {growth}"
        yield _case(GAIN, "residual-mlp", build, _PICTURE, recipe, 126, seed, detail)


_PICTURE = (1, 8, 8)
