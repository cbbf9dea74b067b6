"""Pictures that follow each other, as the content of a .gif or an .mp4 file."""

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from matplotlib.animation import FFMpegWriter
from matplotlib.figure import Figure
from PIL import Image

from sppkit.plots.files import GENERATOR, PNG_RESOLUTION

_PER_SECOND = 5
_LAST = 2000  # milliseconds: the end is what a reader wants to look at
_GIF_COLORS = 128


def as_gif(pictures: Iterable[Image.Image]) -> bytes:
    """Encode pictures by Pillow, in as many colours as a .gif has."""
    first, *others = (
        picture.quantize(_GIF_COLORS, dither=Image.Dither.NONE) for picture in pictures
    )
    buffer = io.BytesIO()
    first.save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=[1000 // _PER_SECOND] * len(others) + [_LAST],
        loop=0,
        comment=GENERATOR.encode(),
    )
    return buffer.getvalue()


def as_mp4(figure: Figure, show_step: Callable[[int], object], steps: Sequence[int]) -> bytes:
    """Encode what a figure shows at each step, by ffmpeg."""
    writer = FFMpegWriter(
        fps=_PER_SECOND,
        metadata={"comment": GENERATOR},
        extra_args=["-pix_fmt", "yuv420p", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"],
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "animation.mp4"
        with writer.saving(figure, str(place), dpi=PNG_RESOLUTION):
            for step in _held_at_the_end(steps):
                show_step(step)
                writer.grab_frame()
        return place.read_bytes()


def _held_at_the_end(steps: Sequence[int]) -> Iterator[int]:
    yield from steps
    yield from [steps[-1]] * (_PER_SECOND * _LAST // 1000 - 1)
