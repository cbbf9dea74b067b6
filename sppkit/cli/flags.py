"""The flags that commands share, in groups: each field of a dataclass is a flag."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from sppkit.cli.console import Color

Sizes = tuple[tuple[int, ...], ...]

TARGET_FORMS = (
    "model.py, model.py:Name, package.module:name, ref:NAME, timm:NAME, torchvision:NAME, "
    "hf:TYPE or hf:DIRECTORY of transformers, hub:DIRECTORY:ENTRYPOINT of torch.hub, "
    "a .parquet recording or a run directory"
)
INPUTS = "gaussian, uniform, pink, digits, FILE.pt, FILE.npz or module.py:function"
_INPUT = "Input of the model"
CIRCUMSTANCES = "How it is measured"


class Device(StrEnum):
    """Where a model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class Amp(StrEnum):
    """The precision of autocast."""

    OFF = "off"
    BF16 = "bf16"
    FP16 = "fp16"


class Mode(StrEnum):
    """Whether batch statistics and dropout are in force."""

    TRAIN = "train"
    EVAL = "eval"


def include_flag(panel: str) -> object:
    """Make the flag for the layers to record, in a panel of the help."""
    return typer.Option(
        "--include",
        metavar="GLOB",
        help="Layers to record, by name; re:... is a regular expression.",
        show_default="all",
        rich_help_panel=panel,
    )


def exclude_flag(panel: str) -> object:
    """Make the flag for the layers to leave out."""
    return typer.Option(
        "--exclude", metavar="GLOB", help="Layers to leave out, by name.", rich_help_panel=panel
    )


def device_flag(panel: str) -> object:
    """Make the flag for where to run."""
    return typer.Option(
        "--device",
        help="Where to run; auto is cuda where there is one, else cpu.",
        rich_help_panel=panel,
    )


def amp_flag(panel: str) -> object:
    """Make the flag for the precision of autocast."""
    return typer.Option("--amp", help="Precision of autocast, if any.", rich_help_panel=panel)


Seeds = Annotated[
    int,
    typer.Option(
        "--seeds",
        min=1,
        metavar="N",
        help="Number of seeds: initialisations and inputs.",
        rich_help_panel=CIRCUMSTANCES,
    ),
]


@dataclass(frozen=True)
class Measuring:
    """How the models of a command line are built, fed and run."""

    input_size: Annotated[
        list[str] | None,
        typer.Option(
            "-s",
            "--input-size",
            metavar="C,H,W",
            help="Size of one sample, such as 3,64,64; once for each input.",
            show_default="what the model declares",
            rich_help_panel=_INPUT,
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(
            "-b",
            "--batch-size",
            min=1,
            metavar="N",
            help="Samples in a batch.",
            show_default="16, fewer for large models",
            rich_help_panel=_INPUT,
        ),
    ] = None
    input: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="SOURCE",
            help=f"What is sent through: {INPUTS}.",
            rich_help_panel=_INPUT,
        ),
    ] = "gaussian"
    input_dtype: Annotated[
        str | None,
        typer.Option(
            "--input-dtype",
            metavar="TYPE",
            help="Type of the numbers: float32, float16, bfloat16, float64, or int for tokens.",
            show_default="float32, int with --vocab",
            rich_help_panel=_INPUT,
        ),
    ] = None
    vocabulary: Annotated[
        int | None,
        typer.Option(
            "--vocab",
            min=1,
            metavar="N",
            help="Number of different tokens.",
            rich_help_panel=_INPUT,
        ),
    ] = None
    example_input: Annotated[
        str | None,
        typer.Option(
            "--example-input",
            metavar="module.py:function",
            help="Function that returns the arguments of a forward: a tensor, a tuple, a dict, "
            "or (tuple, dict).",
            rich_help_panel=_INPUT,
        ),
    ] = None
    arguments: Annotated[
        list[str] | None,
        typer.Option(
            "-k",
            metavar="KEY=VALUE",
            help="Argument of the model's class or function, such as depth=3, or field of a "
            "configuration of transformers; once for each.",
            rich_help_panel=CIRCUMSTANCES,
        ),
    ] = None
    seeds: Seeds = 5
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            min=0,
            metavar="N",
            help="The first seed; others count on from it.",
            rich_help_panel=CIRCUMSTANCES,
        ),
    ] = 0
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode",
            help="Mode of the model; batch statistics belong to train.",
            rich_help_panel=CIRCUMSTANCES,
        ),
    ] = Mode.TRAIN
    loss: Annotated[
        str,
        typer.Option(
            "--loss",
            metavar="LOSS",
            help="Start of the backward pass: unit-gradient (random, of variance 1 at the "
            "output), cross-entropy, or module.py:function of output and labels.",
            rich_help_panel=CIRCUMSTANCES,
        ),
    ] = "unit-gradient"
    activate: Annotated[
        bool,
        typer.Option(
            "--activate",
            help="Set zero-initialised residual gains to one while measuring.",
            rich_help_panel=CIRCUMSTANCES,
        ),
    ] = False
    include: Annotated[list[str] | None, include_flag(CIRCUMSTANCES)] = None
    exclude: Annotated[list[str] | None, exclude_flag(CIRCUMSTANCES)] = None
    device: Annotated[Device, device_flag(CIRCUMSTANCES)] = Device.AUTO
    amp: Annotated[Amp, amp_flag(CIRCUMSTANCES)] = Amp.OFF

    @property
    def sizes(self) -> Sizes:
        """The input sizes as numbers.

        Raises:
            ValueError: one of them is no size.
        """
        return tuple(parse_size(text) for text in self.input_size or ())

    @property
    def dtype(self) -> str:
        """The type of the input's numbers; a vocabulary has no other use than tokens."""
        return self.input_dtype or ("float32" if self.vocabulary is None else "int")


@dataclass(frozen=True)
class Talking:
    """How much is said, and in which colours."""

    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print only the result, without remarks.")
    ] = False
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Print all names, and tracebacks of errors.")
    ] = False
    color: Annotated[
        Color, typer.Option("--color", help="When to colour; NO_COLOR is honoured.")
    ] = Color.AUTO


Target = Annotated[str, typer.Argument(metavar="TARGET", help=f"Model: {TARGET_FORMS}.")]
Targets = Annotated[
    list[str], typer.Argument(metavar="TARGET", help=f"Model to measure: {TARGET_FORMS}.")
]
Theory = Annotated[
    bool, typer.Option("--theory/--no-theory", help="Draw the expected value as a dashed line.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that sppkit did not write.")]


def parse_size(text: str) -> tuple[int, ...]:
    """Read a size.

    >>> parse_size("3,64,64"), parse_size("3x64x64"), parse_size("10")
    ((3, 64, 64), (3, 64, 64), (10,))

    Raises:
        ValueError: it is no size.
    """
    parts = re.split(r"[,x]", text.strip("()[] "))
    if all(re.fullmatch(r"\s*0*[1-9][0-9]*\s*", part) for part in parts):
        return tuple(int(part) for part in parts)
    raise ValueError(
        f"'-s {text}' is no size. Give positive whole numbers without the batch, such as "
        "-s 3,64,64; for several inputs repeat -s."
    )
