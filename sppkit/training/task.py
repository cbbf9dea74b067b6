"""What is to be trained, on what, and how: everything that a run depends on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sppkit.early_warning.early_warning import STOPS, StopOn
from sppkit.training.data import Data
from sppkit.training.parallel import ALONE, Parallel
from sppkit.training.recipes import Recipe

Precision = Literal["off", "bf16", "fp16"]
LossFunction = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One network, one seed, one recipe.

    Attributes:
        run: name of the run; several seeds share it.
        build: builds the network, from torch's global generator.
        origin: what the network is and where it is from, for messages.
        data: what it is trained on.
        recipe: how.
        batch_size: samples in a step; None is the recipe's. The rate follows it where the recipe
            says so.
        seed: of the weights, of the order of the data, and of what is drawn in training.
        device: where.
        amp: precision of autocast.
        compile: whether the network is compiled.
        loss: a function of output and labels, in place of the cross-entropy (of classes) or mean
            square (of numbers).
        every: record one step in so many; 0 records none.
        include, exclude: layers to record, as in `sppkit.record`.
        flush_seconds: what is recorded, measured and learnt is written when the last time was so
            long ago; a kill loses no more.
        parallel: how the run is spread over processes.
        stop_on: severity of events from which on the run is stopped: "error", "warning" (and
            errors), or "never". Its checkpoint is kept.
        description: what is written to run.json besides, and must be alike to resume.
    """

    run: str
    build: Callable[[], nn.Module]
    origin: str
    data: Data
    recipe: Recipe
    batch_size: int | None = None
    seed: int = 0
    device: str = "cpu"
    amp: Precision = "off"
    compile: bool = False
    loss: LossFunction | None = None
    every: int = 10
    include: list[str] | None = None
    exclude: list[str] | None = None
    flush_seconds: float = 60.0
    parallel: Parallel = ALONE
    stop_on: StopOn = "never"
    description: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be 1 sample or more")
        if self.every < 0:
            raise ValueError(f"every={self.every} must be 1 or more, or 0 to record nothing")
        if self.stop_on not in STOPS:
            raise ValueError(f"stop_on={self.stop_on!r} must be one of {', '.join(STOPS)}")
        if not self.flush_seconds > 0:
            raise ValueError(f"flush_seconds={self.flush_seconds} must be above 0 seconds")
        self.parallel.check(self.recipe, self.samples_per_step, amp=self.amp, compile=self.compile)

    def settings(self) -> dict[str, Any]:
        """List what the result depends on."""
        recipe = {each.name: getattr(self.recipe, each.name) for each in fields(self.recipe)}
        return {
            "run": self.run,
            "network": self.origin,
            "data": self.data.description,
            "classes": self.data.classes,
            "size": self.data.size,
            "batch_size": self.samples_per_step,
            "seed": self.seed,
            "amp": self.amp,
            "compile": self.compile,
            "every": self.every,
            "include": self.include,
            "exclude": self.exclude,
            "recipe": {name: value for name, value in recipe.items() if name not in _CONTEXT},
            **self.parallel.settings(),
            **self.description,
        }

    @property
    def samples_per_step(self) -> int:
        """Samples in a batch."""
        return self.recipe.batch_size if self.batch_size is None else self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimiser in an epoch."""
        return self.data.train.steps(self.samples_per_step)

    @property
    def steps(self) -> int:
        """Steps of the optimiser in all."""
        return self.steps_per_epoch * self.recipe.epochs

    @property
    def precision(self) -> torch.dtype | None:
        """The type of autocast."""
        return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[self.amp]


_CONTEXT = frozenset({"paper", "dataset", "remark", "augmentation", "training_side", "reference"})
"""Of a recipe: what people read, and nothing depends on."""
