"""The workloads: which network is trained on what, and one plain training step of it."""

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.networks.efficientnet import Stage, efficientnet_b0
from benchmarks.networks.mlp import mlp
from benchmarks.networks.resnet import resnet18, resnet50
from benchmarks.networks.transformer import gpt, vit
from benchmarks.networks.unet import unet

LEARNING_RATE = 1e-4
"""Small, so that thousands of steps on one batch leave signals and gradients as they are."""

DEVICE_BATCH = 128
"""Samples of a batch on a GPU, which small batches do not fill."""

SMALL = 2
"""Samples of a batch of a shrunken workload."""


@dataclass(frozen=True)
class Workload:
    """A network and the batch it is trained on.

    Attributes:
        name: for the command line.
        description: in a line.
        network: builds it, from `arguments` and `in_place`.
        sample: shape of one sample: channels, height and width, features, or tokens.
        batch: samples.
        labels: number of different labels.
        labelled: what has a label: a "sample", a "pixel" or a "token"; tokens are also the input.
        arguments: of the network.
        small: arguments of the same network in a size that takes no time.
        small_sample: the shape that goes with it.
    """

    name: str
    description: str
    network: Callable[..., nn.Module]
    sample: tuple[int, ...]
    batch: int
    labels: int
    labelled: str = "sample"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    small_sample: tuple[int, ...] = ()

    def shrunk(self) -> "Workload":
        """Give the same in a size that takes no time, to see that a program runs."""
        sizes = {"arguments": self.small, "sample": self.small_sample, "batch": SMALL}
        return Workload(**{**self.__dict__, **sizes})

    def inputs(self, batch: int) -> Tensor:
        """Draw a batch: noise, or token numbers."""
        if self.labelled == "token":
            return torch.randint(self.labels, (batch, *self.sample))
        return torch.randn(batch, *self.sample)

    def targets(self, batch: int) -> Tensor:
        """Draw a label for each sample, token or pixel."""
        shapes = {"sample": (), "token": self.sample, "pixel": self.sample[1:]}
        return torch.randint(self.labels, (batch, *shapes[self.labelled]))


SMALL_STAGES = (Stage(1, 3, 1, 16, 1), Stage(6, 3, 2, 24, 2))

WORKLOADS = (
    Workload(
        "mlp",
        "100 x [Linear 64 + Tanh], batch 128",
        mlp,
        (64,),
        128,
        labels=10,
        small={"depth": 3, "width": 8},
        small_sample=(8,),
    ),
    Workload(
        "effb0",
        "EfficientNet-B0, batch 8 at 96x96",
        efficientnet_b0,
        (3, 96, 96),
        8,
        labels=1000,
        small={"stages": SMALL_STAGES},
        small_sample=(3, 16, 16),
    ),
    Workload(
        "resnet50",
        "ResNet-50, batch 8 at 96x96",
        resnet50,
        (3, 96, 96),
        8,
        labels=1000,
        small={"blocks": (1, 1), "width": 8},
        small_sample=(3, 16, 16),
    ),
    Workload(
        "vit",
        "ViT of width 128, 6 blocks, batch 32, 64 tokens",
        vit,
        (3, 32, 32),
        32,
        labels=10,
        small={"width": 32, "depth": 1, "tokens": 4},
        small_sample=(3, 8, 8),
    ),
    Workload(
        "resnet18",
        "CIFAR ResNet-18, batch 64 at 32x32",
        resnet18,
        (3, 32, 32),
        64,
        labels=10,
        small={"blocks": (1, 1), "width": 8},
        small_sample=(3, 8, 8),
    ),
    Workload(
        "unet",
        "U-Net of widths 32 to 256, batch 8 at 64x64",
        unet,
        (3, 64, 64),
        8,
        labels=4,
        labelled="pixel",
        small={"width": 8, "levels": 1},
        small_sample=(3, 8, 8),
    ),
    Workload(
        "gpt",
        "GPT of width 128, 4 blocks, 512 tokens in the vocabulary, batch 16, 128 positions",
        gpt,
        (128,),
        16,
        labels=512,
        labelled="token",
        small={"width": 32, "depth": 1, "tokens": 8},
        small_sample=(8,),
    ),
)


@dataclass(frozen=True)
class Circumstances:
    """Where and how a workload is trained.

    Attributes:
        device: "cpu" or "cuda".
        autocast: in bfloat16, as is usual on a GPU.
        batch: samples, None for the workload's own (128 at least on a GPU).
        in_place: False builds the network without in-place operations.
        small: shrink the workload.
    """

    device: str = "cpu"
    autocast: bool = False
    batch: int | None = None
    in_place: bool = True
    small: bool = False


class Training:
    """A model, one batch of it, and the optimiser; `step` is the plain training step.

    Attributes:
        model: what is trained.
        called: what a step calls: the model, or its compiled form.
        optimizer: stochastic gradient descent.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, targets: Tensor, autocast: bool) -> None:
        self.model = model
        self.called = model
        self.inputs, self.targets = inputs, targets
        self._autocast = autocast
        self.optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def step(self) -> None:
        """Take one step: zero_grad, forward, cross-entropy, backward, SGD."""
        self.optimizer.zero_grad()
        with self._precision():
            output = self.called(self.inputs)
            loss = _loss(output, self.targets)
        loss.backward()
        self.optimizer.step()

    def compile(self, backend: str) -> None:
        """Let steps call the compiled model."""
        self.called = cast(nn.Module, torch.compile(self.model, backend=backend))

    def twin(self) -> "Training":
        """Give the same with a copy of the model and an optimiser of its own."""
        return Training(copy.deepcopy(self.model), self.inputs, self.targets, self._autocast)

    def _precision(self) -> AbstractContextManager[object]:
        device = self.inputs.device.type
        return torch.autocast(device, torch.bfloat16) if self._autocast else nullcontext()


def _loss(output: Tensor, targets: Tensor) -> Tensor:
    """Take the mean over samples, pixels or tokens; those are (N, T, labels)."""
    if output.dim() == 3:
        output, targets = output.flatten(0, 1), targets.flatten()
    return cross_entropy(output, targets)


def make_training(workload: Workload, circumstances: Circumstances) -> Training:
    """Build a workload's network and batch, the same ones each time."""
    torch.manual_seed(0)
    workload = workload.shrunk() if circumstances.small else workload
    model = workload.network(**workload.arguments, in_place=circumstances.in_place)
    batch = circumstances.batch or workload.batch
    if circumstances.device == "cuda" and not (circumstances.batch or circumstances.small):
        batch = max(batch, DEVICE_BATCH)
    inputs, targets = workload.inputs(batch), workload.targets(batch)
    device = circumstances.device
    return Training(model.to(device), inputs.to(device), targets.to(device), circumstances.autocast)
