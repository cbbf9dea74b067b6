"""The kinds of figures that `sppkit plot` draws, and which flags each of them takes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sppkit import plots
from sppkit.cli.plot_flags import Drawing, Kind
from sppkit.errors import OutputError
from sppkit.plots.files import check_destination, save_figure
from sppkit.plots.style import check_width
from sppkit.recording import Recording


@dataclass(frozen=True)
class _Drawer:
    """How a kind is drawn.

    Attributes:
        draw: the function of `sppkit.plots`.
        takes: flags that it takes besides theme and width.
    """

    draw: Callable[..., Any]
    takes: tuple[str, ...]


_DRAWERS = {
    Kind.SPP: _Drawer(plots.plot_signal_propagation, ("theory", "gradient", "step")),
    Kind.GRADIENT_FLOW: _Drawer(plots.plot_gradient_flow, ("step",)),
    Kind.WEIGHTS: _Drawer(plots.plot_weights, ("step",)),
    Kind.OVER_TRAINING: _Drawer(
        plots.plot_over_training, ("signal", "statistic", "layers", "relative")
    ),
    Kind.DISTRIBUTION: _Drawer(plots.plot_distribution_over_training, ("signal", "layers")),
    Kind.ANIMATION: _Drawer(plots.animate, ("theory", "gradient")),
}


def kind_of(asked: Kind | None, output: Path | None) -> Kind:
    """Choose what is drawn: what was asked for, else what the ending of the file means.

    >>> kind_of(None, Path("spp.gif")).value, kind_of(None, None).value
    ('animation', 'spp')
    """
    if asked is not None:
        return asked
    moves = output is not None and output.suffix.lower() in (".gif", ".mp4")
    return Kind.ANIMATION if moves else Kind.SPP


def flags_of(kind: Kind, drawing: Drawing) -> dict[str, Any]:
    """Give the arguments of the function that draws a kind; refuse flags of other kinds.

    Raises:
        ValueError: a flag has no meaning for this kind, or there is no such width.
    """
    width = parse_width(drawing.width)
    check_width(width)
    given = {
        "theory": drawing.theory,
        "gradient": drawing.gradient or None,
        "step": drawing.step,
        "signal": drawing.signal,
        "statistic": drawing.statistic,
        "layers": drawing.layers,
        "relative": drawing.relative or None,
    }
    taken = {name: value for name, value in given.items() if value is not None}
    takes = _DRAWERS[kind].takes
    for name in taken:
        if name not in takes and name != "theory":  # which is on for others, without a meaning
            kinds = ", ".join(k for k, drawer in _DRAWERS.items() if name in drawer.takes)
            raise ValueError(f"--{name} has no meaning with --kind {kind}; it is for {kinds}.")
    flags = {name: value for name, value in taken.items() if name in takes}
    return {**flags, "theme": drawing.theme.value, "width": width}


def check_figure_place(kind: Kind, place: Path, *, force: bool) -> None:
    """Refuse a path before the work is done.

    Raises:
        OutputError: nothing can be written there, or not this kind.
    """
    moves = place.suffix.lower() in (".gif", ".mp4")
    if moves and kind is not Kind.ANIMATION:
        raise OutputError(
            f"'{place}' is the name of an animation, and --kind {kind} is a picture. Leave --kind "
            "out, or give a name that ends in .png, .svg, .pdf or .html."
        )
    check_destination(place, force=force, animated=kind is Kind.ANIMATION)


def ending_of(kind: Kind) -> str:
    """Give the end of a file's name where none was given.

    >>> ending_of(Kind.WEIGHTS), ending_of(Kind.ANIMATION)
    ('-weights.png', '-spp.gif')
    """
    return "-spp.gif" if kind is Kind.ANIMATION else f"-{kind}.png"


def draw(kind: Kind, recording: Recording, flags: dict[str, Any]) -> Any:
    """Draw a recording.

    Args:
        kind: what is drawn.
        recording: of one or several runs.
        flags: as `flags_of` returns them.
    """
    return _DRAWERS[kind].draw(recording, **flags)


def save(kind: Kind, drawn: Any, place: Path, *, force: bool, **texts: str) -> None:
    """Write what was drawn."""
    if kind is Kind.ANIMATION:
        drawn.save(place, force=force)
    else:
        save_figure(drawn, place, force=force, **texts)


def parse_width(text: str) -> str | float:
    """Read a width: a word, or inches.

    >>> parse_width("column"), parse_width("5.5")
    ('column', 5.5)
    """
    try:
        return float(text)
    except ValueError:
        return text
