import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sppkit.errors import OutputError
from sppkit.plots.files import save_figure, written_by_sppkit

ENDINGS = ("png", "svg", "pdf", "html")


@pytest.fixture
def figure():
    made = Figure(figsize=(4, 3))
    made.subplots().plot([1, 2])
    made.suptitle("a <title>")
    return made


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_figure_is_recognised_as_ours(ending, figure, tmp_path):
    path = save_figure(figure, tmp_path / f"a.{ending}")
    assert written_by_sppkit(path)
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_equal_figures_give_equal_files(ending, figure, tmp_path):
    first = save_figure(figure, tmp_path / f"a.{ending}").read_bytes()
    assert first == save_figure(figure, tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_figure_of_others_is_left_alone(ending, figure, tmp_path):
    path = tmp_path / f"a.{ending}"
    if ending == "html":
        path.write_text("<html></html>")
    else:
        figure.savefig(path)
    before = path.read_bytes()
    assert not written_by_sppkit(path)
    with pytest.raises(OutputError, match="force"):
        save_figure(figure, path)
    assert path.read_bytes() == before
    save_figure(figure, path, force=True)
    assert written_by_sppkit(path)


def test_settings_of_matplotlib_are_left_as_they_were(figure, tmp_path):
    before = dict(mpl.rcParams)
    for ending in ENDINGS:
        save_figure(figure, tmp_path / f"a.{ending}")
    assert dict(mpl.rcParams) == before


def test_a_description_goes_with_the_figure(figure, tmp_path):
    page = save_figure(figure, tmp_path / "a.html", description="1 < 2 λ").read_text("utf-8")
    assert "1 &lt; 2 λ" in page
    assert "<h1>a &lt;title&gt;</h1>" in page
    with Image.open(save_figure(figure, tmp_path / "a.png", description="λ")) as picture:
        picture.load()
        assert picture.info["Description"] == "λ"


def test_nothing_is_left_where_writing_fails(figure, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        save_figure(figure, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_link_keeps_pointing_where_it_does(figure, tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    save_figure(figure, tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert written_by_sppkit(tmp_path / "a.png")


def test_an_unknown_ending_lists_the_known_ones(figure, tmp_path):
    with pytest.raises(OutputError, match=r"\.png, \.svg, \.pdf, \.html"):
        save_figure(figure, tmp_path / "a.jpg")
