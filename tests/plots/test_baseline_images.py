"""A handful of pictures are kept, for what cannot be read back as data."""

import matplotlib as mpl
import pytest
from matplotlib.testing.compare import compare_images

from tests.plots.baseline_images import FIGURES, FOLDER, draw

DRAWN_WITH = "3.11"  # another matplotlib sets letters and ticks elsewhere
TOLERANCE = 2.0  # root mean square of 0 to 255: rounding at the edges of letters

needs_the_version = pytest.mark.skipif(
    not mpl.__version__.startswith(f"{DRAWN_WITH}."),
    reason=f"the pictures were drawn with matplotlib {DRAWN_WITH}, see constraints.txt",
)


@needs_the_version
@pytest.mark.parametrize("name", FIGURES)
def test_the_figure_looks_as_it_did_when_it_was_found_good(name, tmp_path):
    drawn = draw(name, tmp_path)
    assert compare_images(str(FOLDER / drawn.name), str(drawn), TOLERANCE) is None


@needs_the_version
def test_a_line_that_moves_is_noticed(tmp_path):
    figure = FIGURES["signal-propagation"]()
    line = figure.axes[1].lines[0]
    line.set_ydata(1.03 * line.get_ydata())
    figure.savefig(tmp_path / "a.png", dpi=60)
    kept = FOLDER / "signal-propagation.png"
    assert compare_images(str(kept), str(tmp_path / "a.png"), TOLERANCE) is not None


def test_every_picture_that_is_kept_is_drawn():
    assert {path.stem for path in FOLDER.glob("*.png")} == set(FIGURES)
