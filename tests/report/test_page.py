"""The page is read as HTML: what it says, what it must never hold."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import sppkit
from sppkit.errors import OutputError
from sppkit.plots.files import written_by_sppkit
from sppkit.recording import not_captured_entry
from sppkit.report import make_report, save_report
from sppkit.rules import Diagnosis, Severity
from tests.plots.baseline_images import residual_network
from tests.report.samples import (
    HOSTILE,
    TRAINED,
    diagnosis,
    finding,
    judged,
    large,
    page,
    renamed,
)

VOID = {"meta", "br", "input", "img", "link", "hr"}


class Reader(HTMLParser):
    """Elements in order, with their attributes and text; complains about what is not nested."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open, self._texts = [], [], []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {[e['tag'] for e in self._open]}"

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element | {"begins": len(self._texts), "element": element})

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "text": "", **dict(attributes)})

    def handle_endtag(self, tag):
        assert self._open[-1]["tag"] == tag, f"</{tag}> ends <{self._open[-1]['tag']}>"
        ended = self._open.pop()
        ended["element"]["text"] = "".join(self._texts[ended["begins"] :])

    def handle_data(self, text):
        self._texts.append(text)

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]

    def by_id(self, name):
        (found,) = (element for element in self.elements if element.get("id") == name)
        return found


@pytest.fixture(scope="module")
def read():
    return Reader(page(steps=3, runs=("net", "other"), trained=TRAINED))


def test_the_page_says_verdict_and_first_fault_of_each_run(read):
    first, second = (e for e in read.all("li") if str(e.get("class", "")).startswith("verdict"))
    assert first["class"] == "verdict fail"
    assert re.search(r"✗\s*fail", first["text"])
    assert "1 error; judged at step 0, the first that was recorded" in first["text"]
    assert "First at fault: blocks.4: the variance of blocks.4 is 12.5" in first["text"]
    assert second["class"] == "verdict pass"
    assert "no findings" in second["text"]


def test_findings_come_with_advice_numbers_and_a_link_to_their_layer(read):
    article = read.by_id("finding-1")
    for words in ("error SPP101", "the variance of blocks.4 is 12.5", "scale the branch by 0.3"):
        assert words in article["text"]
    assert "Measured average channel variance: 12.5. Expected: 1.0 to 4.0." in article["text"]
    (link,) = (e for e in read.all("a") if e.get("class") == "to-layer")
    row = read.by_id(link["href"].removeprefix("#"))
    assert row["tag"] == "tr"
    assert "blocks.4" in row["text"]
    assert "SPP401: no gradient was recorded" in read.by_id("findings")["text"]


def test_every_link_of_the_page_leads_to_something_on_it(read):
    ids = [element["id"] for element in read.elements if element.get("id")]
    assert len(ids) == len(set(ids))
    targets = [e.get("href") or e.get("xlink:href") for e in read.elements]
    inner = [t[1:] for t in targets if t and t.startswith("#")]
    assert set(inner) <= set(ids)
    outer = {t.split(",")[0] for t in targets if t and not t.startswith("#")}
    assert outer <= {"data:image/png;base64"}


def test_what_clips_and_marks_a_drawing_is_in_the_same_drawing(read):
    ids = {element["id"] for element in read.elements if element.get("id")}
    text = page(steps=3, runs=("net", "other"))
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= ids


def test_there_are_the_figures_of_a_training_of_two_runs(read):
    assert [e["data-figure"] for e in read.all("figure")] == [
        *("spp", "spp-last", "flow", "weights"),
        *("map-activation", "map-activation-relative", "map-gradient", "map-weight-gradient"),
        "comparison",
    ]
    for drawing in (e for e in read.all("div") if e.get("class") == "drawing"):
        assert drawing["role"] == "img"
        assert len(drawing["aria-label"]) > 30


def test_one_run_at_one_step_has_the_figures_it_can_have():
    read = Reader(page())
    assert [e["data-figure"] for e in read.all("figure")] == ["spp", "flow", "weights"]
    assert "judged at step 0" in read.all("header")[0]["text"]


def test_the_table_has_a_row_for_each_layer_with_the_numbers_of_the_recording(read):
    rows = [e for e in read.all("tr") if str(e.get("id", "")).startswith("layer-")]
    assert len(rows) == 2 * 13
    table = residual_network(steps=3).table()
    last = table[(table["layer"] == "blocks.4") & (table["step"] == 2) & (table["tap"] == "block")]
    means = last[last["signal"] == "activation"].mean(numeric_only=True)
    (row,) = (r for r in rows if "blocks.4" in r["text"] and r["id"].startswith("layer-0"))
    first = read.elements.index(row) + 1
    cells = [e["text"].strip() for e in read.elements[first:] if e["tag"] in ("td", "th")][:13]
    assert cells[:4] == ["5", "net", "blocks.4", "1"]  # place, run, layer, its finding
    assert cells[-2:] == ["Block", "block 4"]
    assert f"{means['average_channel_variance']:.3g}" in cells
    assert f"{means['second_moment']:.3g}" in cells


def test_small_curves_are_over_steps_or_over_depth(read):
    assert "over the recorded steps" in read.by_id("layers")["text"]
    still = Reader(page())
    assert "with a dot for the layer" in still.by_id("layers")["text"]
    assert len([e for e in still.all("circle") if e.get("r") == "2.5"]) == 13


def test_what_was_not_captured_and_remarks_are_told():
    recording = residual_network()
    entries = [not_captured_entry("net", f"l{k}", "activation", "it is scripted") for k in range(2)]
    recording.metadata["net"] |= {"not_captured": entries, "remarks": ["a remark"]}
    told = Reader(make_report(recording, judged(recording))).by_id("not-captured")["text"]
    assert "2: it is scripted" in told
    assert "net: activation of l1" in told
    assert "net: a remark" in told
    assert (
        "Everything that was asked for was captured" in Reader(page()).by_id("not-captured")["text"]
    )


def test_circumstances_settings_thresholds_and_the_command_are_told(read):
    assert read.by_id("command")["text"] == "sppkit report net.py"
    told = read.by_id("circumstances")["text"]
    assert re.search(r"device\s*cpu", told)
    assert re.search(r"recipe\.learning_rate\s*0\.1", told)
    assert re.search(r"SPP101\s*most 4\.0", told)


def test_results_and_events_of_a_training_are_told(read):
    told = read.by_id("training")["text"]
    assert "0.913" in told
    assert "net, step 7: loss not finite" in told


def test_what_a_training_came_to_stands_beside_the_verdict_about_its_first_step(read):
    net, other = (
        verdict["text"]
        for verdict in (
            element for element in read.all("li") if element.get("class", "").startswith("verdict")
        )
    )
    assert "judged at step 0" in net
    assert "Then: training finished: test accuracy 0.913." in net
    assert "Then" not in other


def test_names_of_others_cannot_do_anything():
    recording = renamed(residual_network(steps=2), HOSTILE, {"blocks.4": HOSTILE, "stem": "a#b'c"})
    recording.metadata[HOSTILE] = {
        "model": HOSTILE,
        "remarks": [HOSTILE],
        "not_captured": [not_captured_entry(HOSTILE, HOSTILE, HOSTILE, HOSTILE)],
    }
    spiteful = diagnosis(
        HOSTILE,
        (),
        findings=(finding(HOSTILE, message=HOSTILE, advice=HOSTILE, file=HOSTILE, code=HOSTILE),),
    )
    text = make_report(recording, [spiteful], command=HOSTILE, trained=TRAINED, title=HOSTILE)
    read = Reader(text)
    assert [e.get("type") for e in read.all("script")] == ["application/json", None]
    assert not read.all("img")
    assert not [e for e in read.elements if any(str(name).startswith("on") for name in e)]
    assert "\x1b" not in text
    (link,) = (e for e in read.all("a") if e.get("class") == "to-layer")
    assert "alert" in read.by_id(link["href"][1:])["text"]
    names = json.loads(read.by_id("data")["text"])["rows"]
    assert HOSTILE.replace("\x1b", "\\u001b") in {n.replace("\x1b", "\\u001b") for n in names}


def test_the_policy_of_the_page_lets_only_its_own_script_run(read):
    (policy,) = (e["content"] for e in read.all("meta") if "http-equiv" in e)
    assert policy.startswith("default-src 'none'")
    script = read.all("script")[1]["text"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_the_page_refers_to_nothing_outside(read):
    for element in read.elements:
        for name in ("src", "href", "xlink:href", "action", "srcset", "poster"):
            value = element.get(name) or "#"
            assert value.startswith(("#", "data:"))
        assert "url(http" not in str(element.get("style", ""))
    assert not re.search(r"@import|url\((?!#)", read.all("style")[0]["text"])


def test_drawings_take_their_colours_from_the_page(read):
    text = page(runs=("net", "other"))
    drawing = text[text.index("<svg") :]
    assert "var(--run-0, #" in drawing
    assert "var(--run-1, #" in drawing
    tags = re.findall(r"<(?:path|text|g|use)[^>]*style=[^>]*>", drawing)
    plain = {c for tag in tags for c in re.findall(r"(?<!, )#[0-9a-f]{6}\b", tag)}
    assert plain <= {"#ffffff"}  # nothing dark is left that a dark page would swallow


def test_points_stand_where_the_drawing_has_them():
    data = json.loads(Reader(page()).by_id("data")["text"])
    panels = data["figures"]["spp"]
    assert [panel["title"] for panel in panels][:2] == [
        *("Average channel squared mean", "Average channel variance"),
    ]
    for panel in panels:
        left, top, right, bottom = panel["box"]
        for curve in panel["curves"]:
            xs = [point[0] for point in curve["points"]]
            assert xs == sorted(xs)
            assert all(left <= x <= right for x in xs)
            assert all(top - 1 <= point[1] <= bottom + 1 for point in curve["points"])
    (stem, first, *_) = panels[1]["curves"][0]["points"]
    assert [stem[2], first[2]] == ["stem", "blocks.1"]
    table = residual_network().table().query("layer == 'blocks.1' and signal == 'activation'")
    blocks = table[table["tap"] == "block"]["average_channel_variance"]
    assert first[3] == pytest.approx(blocks.mean(), rel=1e-3)


def test_cells_of_a_heat_map_tell_their_numbers():
    data = json.loads(Reader(page(steps=3)).by_id("data")["text"])
    (panel,) = data["figures"]["map-activation"]
    assert panel["steps"] == [0, 1, 2]
    assert len(panel["layers"]) == len(panel["down"]) - 1 == 13
    packed = np.frombuffer(base64.b64decode(panel["logarithms"]), "<i2").reshape(13, 3)
    table = residual_network(steps=3).table().query("signal == 'activation' and tap != ''")
    first = table[
        (table["layer"] == "blocks.4") & (table["step"] == 1) & (table["operation"] == "")
    ]
    expected = 100 * np.log10(first["second_moment"]).mean()
    assert packed[4, 1] == pytest.approx(expected, abs=0.51)
    assert panel["down"] == sorted(panel["down"])  # the first layer is at the top


def test_what_is_not_finite_is_said_and_breaks_nothing():
    recording = residual_network(sick_from=5, steps=2)
    read = Reader(make_report(recording, judged(recording)))
    figures = json.loads(read.by_id("data")["text"])["figures"]
    values = [point[3] for point in figures["spp"][1]["curves"][0]["points"]]
    assert [value is None for value in values] == [False] * 5 + [True] * 8
    packed = base64.b64decode(figures["map-activation"][0]["logarithms"])
    assert (np.frombuffer(packed, "<i2").reshape(13, 2)[5:] == -(2**15)).all()
    assert read.by_id("layer-0-7")["text"].count("not finite") == 2


def test_infinite_and_missing_numbers_are_written_as_words():
    odd = diagnosis(
        findings=(finding("blocks.4", measured=float("inf")), finding("", measured=None))
    )
    read = Reader(make_report(residual_network(), [odd]))
    assert "inf" in read.by_id("finding-1")["text"]
    assert "Measured" not in read.by_id("finding-2")["text"]


def test_warnings_info_and_ignored_findings_are_told_apart():
    several = diagnosis(
        findings=(
            finding("blocks.1", Severity.WARNING),
            finding("blocks.2", Severity.INFO),
            finding("blocks.3", ignored="known"),
        )
    )
    read = Reader(make_report(residual_network(), [several]))
    classes = [e["class"] for e in read.all("article")]
    assert classes == ["finding warning", "finding info", "finding error ignored"]
    assert "1 warning, 1 info" in read.all("header")[0]["text"]
    assert "Ignored: known." in read.by_id("finding-3")["text"]


def test_a_finding_about_a_parameter_leads_to_its_layer():
    read = Reader(make_report(residual_network(), [diagnosis(layers=("blocks.4.weight",))]))
    (link,) = (e for e in read.all("a") if e.get("class") == "to-layer")
    assert "blocks.4" in read.by_id(link["href"][1:])["text"]
    unknown = Reader(make_report(residual_network(), [diagnosis(layers=("elsewhere.x",))]))
    assert not [e for e in unknown.all("a") if e.get("class") == "to-layer"]


def test_a_run_of_which_nothing_was_observed_is_told():
    page = make_report(sppkit.Recording(), [Diagnosis("net", observed=False)])
    read = Reader(page)
    assert "Nothing was observed, so nothing was judged." in read.by_id("findings")["text"]
    assert not read.all("figure")


def test_two_hundred_layers_at_a_hundred_steps_are_less_than_three_megabytes():
    recording = large()
    page = make_report(recording, judged(recording))
    assert len(page.encode()) < 3_000_000
    assert len([e for e in Reader(page).all("tr") if e.get("id")]) == 199


def test_equal_recordings_give_equal_pages():
    assert page(steps=2) == page(steps=2)


def test_a_page_replaces_only_what_sppkit_wrote(tmp_path):
    place = save_report(page(), tmp_path / "a.html")
    assert written_by_sppkit(place)
    save_report("<!DOCTYPE html>", place, force=True)
    with pytest.raises(OutputError, match="was not written by sppkit"):
        save_report(page(), place)
