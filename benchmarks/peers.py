"""Collectors that other libraries bring, where they are installed."""

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from benchmarks.bench import AbsentError, Bench, Sides
from tests.zoo.torchvision_shim import import_torchvision


def _imported(library: str, module: str) -> ModuleType:
    """Import a module of a library.

    Raises:
        AbsentError: the library is not installed.
    """
    _require(library)
    return importlib.import_module(module)


def _require(library: str) -> None:
    if find_spec(library) is None:
        raise AbsentError(f"{library} is not installed here (pip install {library})")


def average_channel_squared_mean(module: nn.Module, inputs: Any, output: Tensor) -> float:
    """Do what timm's `avg_sq_ch_mean` does to images, whatever has the channels."""
    return (output.mean(_all_but_channels(output)) ** 2).mean().item()


def average_channel_variance(module: nn.Module, inputs: Any, output: Tensor) -> float:
    """Do what timm's `avg_ch_var` does to images, whatever has the channels."""
    return output.var(_all_but_channels(output)).mean().item()


def _all_but_channels(output: Tensor) -> list[int]:
    return [0, 2, 3] if output.dim() == 4 else list(range(output.dim() - 1))


@contextmanager
def timm_sides(bench: Bench) -> Iterator[Sides]:
    """Let timm's `ActivationStatsHook` read two numbers of every convolution and linear layer."""
    _require("timm")
    _require("torchvision")
    import_torchvision()  # which timm needs, and which a CPU build of torch may not fit
    utilities = _imported("timm", "timm.utils.model")
    model = bench.training.model
    functions = average_channel_squared_mean, average_channel_variance
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]

    @contextmanager
    def hooked() -> Iterator[None]:
        before = {module: set(module._forward_hooks) for module in model.modules()}
        utilities.ActivationStatsHook(
            model, layers * len(functions), [f for f in functions for _ in layers]
        )
        yield
        for module, known in before.items():  # timm keeps no handles of its hooks
            for key in set(module._forward_hooks) - known:
                del module._forward_hooks[key]

    version = importlib.import_module("timm").__version__
    yield Sides(bench.plain, bench.side(hooked), notes=(f"timm {version}, forward only",))


@contextmanager
def wandb_sides(bench: Bench) -> Iterator[Sides]:
    """Let `wandb.watch` log histograms of parameters and gradients at every step, offline."""
    wandb: Any = _imported("wandb", "wandb")
    model, training = bench.training.model, bench.training
    with tempfile.TemporaryDirectory() as folder:
        run = wandb.init(mode="offline", dir=folder, project="benchmarks", reinit=True)

        @contextmanager
        def watched() -> Iterator[None]:
            run.watch(model, log="all", log_freq=1)
            yield
            run.unwatch(model)

        def step() -> None:
            training.step()
            run.log({})

        note = f"wandb {wandb.__version__}, parameters and their gradients only; its own process "
        note += "shows in wall time alone"
        try:
            yield Sides(bench.plain, bench.side(watched, step), notes=(note,))
        finally:
            run.finish()
