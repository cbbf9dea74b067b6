"""The flags of `sppkit train`."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sppkit.cli.flags import (
    Amp,
    Device,
    Sizes,
    amp_flag,
    device_flag,
    exclude_flag,
    include_flag,
    parse_size,
)

_DATA = "What it is trained on"
_RECIPE = "How it is trained (repeat a flag marked with * for a grid)"
_RUNS = "Which runs there are"
_RECORDING = "What is recorded"

DATA_FORMS = "digits, FILE.npz, module.py:function, folder:DIR, hf:NAME or hf:DIR"


class Optimizer(StrEnum):
    """Those of the recipes."""

    SGD = "sgd"
    ADAM = "adam"
    ADAMW = "adamw"


class ScheduleKind(StrEnum):
    """How the rate goes on after the warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"
    STEPS = "steps"
    LINEAR = "linear"


class Executor(StrEnum):
    """What runs the runs."""

    PROCESSES = "processes"
    RAY = "ray"


class ParallelKind(StrEnum):
    """How one run is spread over processes."""

    DDP = "ddp"
    FSDP = "fsdp"


class Augmentation(StrEnum):
    """What is done to pictures at random; `sppkit.training.data.AUGMENTATIONS` holds it."""

    CROP_FLIP = "crop-flip"


class StopOn(StrEnum):
    """The least severity of an event that ends a run; those of `sppkit.EarlyWarning`."""

    NEVER = "never"
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Feeding:
    """The data."""

    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help=f"Data: {DATA_FORMS}.",
            show_default="digits",
            rich_help_panel=_DATA,
        ),
    ] = None
    input_size: Annotated[
        str | None,
        typer.Option(
            "-s",
            "--input-size",
            metavar="C,H,W",
            help="Size of one sample, such as 3,32,32.",
            show_default="what the model declares",
            rich_help_panel=_DATA,
        ),
    ] = None
    augmentation: Annotated[
        Augmentation | None,
        typer.Option(
            "--augment",
            help="Change pictures at random: crops from a padding of 4, and flips.",
            rich_help_panel=_DATA,
        ),
    ] = None
    hold_out: Annotated[
        float | None,
        typer.Option(
            "--hold-out",
            metavar="SHARE",
            help="Share of the samples to evaluate on, in place of the data's own part for it.",
            show_default="0.25 where there is none",
            rich_help_panel=_DATA,
        ),
    ] = None
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=0, metavar="N", help="Processes that read.", rich_help_panel=_DATA
        ),
    ] = 0
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            metavar="LOSS",
            help="module.py:function of output and labels.",
            show_default="cross-entropy; mean square where labels are no classes",
            rich_help_panel=_DATA,
        ),
    ] = None

    @property
    def source(self) -> str:
        """What was asked for, or the digits."""
        return self.data or "digits"

    @property
    def size(self) -> tuple[int, ...] | None:
        """The size as numbers.

        Raises:
            ValueError: it is none.
        """
        return None if self.input_size is None else parse_size(self.input_size)

    @property
    def sizes(self) -> Sizes:
        """The sizes of all inputs, of which there is one."""
        return () if self.size is None else (self.size,)


def _changes(*names: str, kind: str, help_text: str, least: float | None = None) -> object:
    """Make a flag that changes the recipe."""
    return typer.Option(
        *names,
        metavar=kind,
        min=least,
        help=help_text,
        show_default="as in the recipe",
        rich_help_panel=_RECIPE,
    )


@dataclass(frozen=True)
class Learning:
    """The recipe, and what is changed of it."""

    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="A published recipe, or an experiment of a paper, which brings its networks, data "
            "and grid; without a TARGET a recipe brings its own network. See --presets.",
            show_default="Adam, cosine from 0.003, 8 samples, 10 epochs",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    presets: Annotated[
        bool,
        typer.Option(
            "--presets",
            help="List the presets, or tell all about the one that --preset names.",
            rich_help_panel=_RECIPE,
        ),
    ] = False
    full_size: Annotated[
        bool,
        typer.Option(
            "--full-size",
            help="An experiment of a paper in its published size, for a GPU.",
            rich_help_panel=_RECIPE,
        ),
    ] = False
    epochs: Annotated[
        int | None,
        _changes("--epochs", kind="N", least=1, help_text="Passes over the data."),
    ] = None
    batch_size: Annotated[
        list[int] | None,
        _changes("-b", "--batch-size", kind="N", least=1, help_text="Samples in a step.*"),
    ] = None
    optimizer: Annotated[
        list[Optimizer] | None,
        _changes("--optimizer", kind="[sgd|adam|adamw]", help_text="Optimiser.*"),
    ] = None
    learning_rate: Annotated[
        list[float] | None, _changes("--lr", kind="RATE", help_text="Highest learning rate.*")
    ] = None
    momentum: Annotated[
        float | None,
        _changes("--momentum", kind="SHARE", help_text="Momentum of SGD, first beta of Adam."),
    ] = None
    nesterov: Annotated[
        bool | None,
        typer.Option(
            "--nesterov/--no-nesterov",
            help="Momentum of SGD as Nesterov has it.",
            show_default="as in the recipe",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    weight_decay: Annotated[
        list[float] | None, _changes("--weight-decay", kind="RATE", help_text="Weight decay.*")
    ] = None
    schedule: Annotated[
        ScheduleKind | None,
        _changes(
            *("--schedule",),
            kind="[constant|cosine|steps|linear]",
            help_text="How the rate goes on after the warm-up.",
        ),
    ] = None
    milestones: Annotated[
        list[int] | None,
        _changes("--milestone", kind="EPOCH", help_text="Where the rate of steps drops; repeat."),
    ] = None
    warmup: Annotated[
        float | None,
        _changes("--warmup", kind="EPOCHS", help_text="Epochs in which the rate grows from 0."),
    ] = None
    clip: Annotated[
        list[str] | None,
        _changes(
            *("--clip",),
            kind="METHOD:LIMIT",
            help_text="Gradient clipping: agc:0.01, norm:1, value:0.5, or none.*",
        ),
    ] = None
    clip_exclude: Annotated[
        list[str] | None,
        _changes("--clip-exclude", kind="GLOB", help_text="Parameters that are not clipped."),
    ] = None
    label_smoothing: Annotated[
        float | None,
        _changes("--label-smoothing", kind="SHARE", help_text="Of the target, to all classes."),
    ] = None
    average: Annotated[
        float | None,
        _changes("--average", kind="DECAY", help_text="Evaluate an average of the weights."),
    ] = None


@dataclass(frozen=True)
class Running:
    """Seeds, device, precision."""

    number_of_seeds: Annotated[  # not `seeds`, which means probes in configuration files
        int | None,
        typer.Option(
            "--seeds",
            min=1,
            metavar="N",
            help="Runs of each.",
            show_default="1, or as in the preset",
            rich_help_panel=_RUNS,
        ),
    ] = None
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            min=0,
            metavar="N",
            help="The first seed, of weights and of the order of the data; others count on.",
            rich_help_panel=_RUNS,
        ),
    ] = 0
    arguments: Annotated[
        list[str] | None,
        typer.Option(
            "-k",
            metavar="KEY=VALUE",
            help="Argument of the model's class or function, such as depth=3; once for each.",
            rich_help_panel=_RUNS,
        ),
    ] = None
    device: Annotated[Device, device_flag(_RUNS)] = Device.AUTO
    amp: Annotated[Amp, amp_flag(_RUNS)] = Amp.OFF
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Compile the model by torch.", rich_help_panel=_RUNS),
    ] = False
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            metavar="N",
            help="Runs at a time, each in a process of its own.",
            show_default="1; of Ray, as many as its cluster takes",
            rich_help_panel=_RUNS,
        ),
    ] = None
    executor: Annotated[
        Executor,
        typer.Option(
            "--executor",
            help="What runs several runs at a time: processes of this machine, or Ray.",
            rich_help_panel=_RUNS,
        ),
    ] = Executor.PROCESSES
    parallel: Annotated[
        ParallelKind | None,
        typer.Option(
            "--parallel",
            help="Train each run in all processes that torchrun has started: DDP or FSDP2.",
            rich_help_panel=_RUNS,
        ),
    ] = None


@dataclass(frozen=True)
class Keeping:
    """What is recorded, and where it is written."""

    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Where each run gets a folder of its own.",
            rich_help_panel=_RECORDING,
        ),
    ] = Path("runs")
    every: Annotated[
        int,
        typer.Option(
            "--every",
            min=0,
            metavar="N",
            help="Record one step in so many; 0 records none.",
            rich_help_panel=_RECORDING,
        ),
    ] = 10
    include: Annotated[list[str] | None, include_flag(_RECORDING)] = None
    exclude: Annotated[list[str] | None, exclude_flag(_RECORDING)] = None
    stop_on: Annotated[
        StopOn,
        typer.Option(
            "--stop-on",
            help="End a run at the first event so severe, and keep its checkpoint.",
            rich_help_panel=_RECORDING,
        ),
    ] = StopOn.NEVER
    flush_seconds: Annotated[
        float,
        typer.Option(
            "--flush-seconds",
            metavar="S",
            help="Time between two checkpoints, and what a kill loses at most.",
            rich_help_panel=_RECORDING,
        ),
    ] = 60.0
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with runs that were interrupted.", rich_help_panel=_RECORDING
        ),
    ] = False
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace runs that are there.", rich_help_panel=_RECORDING),
    ] = False
