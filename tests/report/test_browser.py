"""The page in a real browser: what it does, and that it asks for nothing."""

import json
import os
import shutil
from itertools import pairwise

import pytest

from sppkit.report import make_report
from tests.plots.baseline_images import residual_network
from tests.report.samples import HOSTILE, TRAINED, diagnosis, judged, large, page, renamed

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the driver's pipes, at its end
]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open a page from disk; at the end nothing may have been asked for or complained about."""
    opened, complaints, requests = [], [], []

    def open_page(text, width=1280, **settings):
        (tmp_path / "report.html").write_text(text, "utf-8")
        tab = browser.new_page(viewport={"width": width, "height": 900}, **settings)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto((tmp_path / "report.html").as_uri())
        opened.append(tab)
        return tab

    yield open_page
    for tab in opened:
        tab.close()
    assert complaints == []
    asked = [url for url in requests if not url.startswith("data:")]
    assert asked == [(tmp_path / "report.html").as_uri()] * len(opened)


def layers(tab):
    """Give the names of the rows that are shown, from the top."""
    return tab.eval_on_selector_all(
        "#layer-table tbody tr:not([hidden]) th", "names => names.map(n => n.textContent)"
    )


def values(tab, heading):
    """Give the numbers of a column, from the top."""
    return tab.evaluate(
        """heading => {
            const table = document.getElementById('layer-table');
            const cells = [...table.tHead.rows[0].cells];
            const k = cells.findIndex(c => c.textContent.startsWith(heading));
            return [...table.tBodies[0].rows].map(r => r.cells[k].dataset.value);
        }""",
        heading,
    )


def header(tab, name):
    return tab.locator("#layer-table thead button", has_text=name).first


def test_columns_sort_by_number_both_ways_and_say_so(show):
    tab = show(page())
    assert layers(tab) == ["stem", *(f"blocks.{k}" for k in range(1, 13))]
    header(tab, "second moment").click()
    numbers = [float(value) for value in values(tab, "second moment")]
    assert numbers == sorted(numbers)
    assert numbers != [float(v) for v in values(tab, "#")]
    head = header(tab, "second moment").locator("xpath=..")
    assert head.get_attribute("aria-sort") == "ascending"
    assert tab.locator("#layer-table th[aria-sort]").count() == 1
    header(tab, "second moment").click()
    assert [float(v) for v in values(tab, "second moment")] == sorted(numbers, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"


def test_names_sort_as_people_count_and_numbers_that_are_missing_come_last(show):
    tab = show(make_report(sick := residual_network(sick_from=10), judged(sick)))
    header(tab, "layer").click()
    assert layers(tab)[:3] == ["blocks.1", "blocks.2", "blocks.3"]
    for _ in range(2):
        header(tab, "variance").click()
        numbers = values(tab, "variance")
        assert numbers[-3:] == ["", "", ""]
        assert "" not in numbers[:-3]


def test_the_table_sorts_by_the_keyboard_alone(show):
    tab = show(page())
    header(tab, "gradient").focus()
    tab.keyboard.press("Enter")
    numbers = [float(value) for value in values(tab, "gradient")]
    assert numbers == sorted(numbers)


def test_rows_are_filtered_by_words_runs_and_findings(show):
    tab = show(page(runs=("net", "other")))
    shown = tab.locator("#shown")
    assert shown.text_content() == "26 of 26 layers"
    tab.fill("#filter", "BLOCKS.1")
    assert set(layers(tab)) == {"blocks.1", "blocks.10", "blocks.11", "blocks.12"}
    assert shown.text_content() == "8 of 26 layers"
    tab.select_option("#filter-run", "other")
    assert shown.text_content() == "4 of 26 layers"
    tab.fill("#filter", "blocks 12")
    assert layers(tab) == ["blocks.12"]
    tab.fill("#filter", "")
    tab.select_option("#filter-run", "")
    tab.check("#filter-findings")
    assert layers(tab) == ["blocks.4"]
    tab.fill("#filter", "nowhere")
    assert shown.text_content() == "0 of 26 layers"


def test_a_finding_leads_to_its_layer_even_where_a_filter_hid_it(show):
    tab = show(page())
    tab.fill("#filter", "stem")
    tab.click("a.to-layer")
    row = tab.locator("tr.found")
    assert "blocks.4" in row.text_content()
    assert tab.evaluate("document.activeElement.classList.contains('found')")
    assert row.evaluate(
        "r => { const b = r.getBoundingClientRect(); return b.top >= 0 && b.bottom <= innerHeight }"
    )
    assert tab.input_value("#filter") == ""
    row.locator("a").click()
    assert tab.evaluate("location.hash") == "#finding-1"


def place_of(tab, figure, panel, curve, point):
    """Give where a point is on the screen."""
    return tab.evaluate(
        """([figure, panel, curve, point]) => {
            const data = JSON.parse(document.getElementById('data').textContent);
            const [x, y] = data.figures[figure][panel].curves[curve].points[point];
            const svg = document.querySelector(`#figure-${figure} svg`);
            svg.scrollIntoView({block: 'center', behavior: 'instant'});
            const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
            return [at.x, at.y];
        }""",
        [figure, panel, curve, point],
    )


def test_pointing_at_a_point_tells_layer_and_value(show):
    tab = show(page())
    assert tab.locator("#tip").is_hidden()
    tab.mouse.move(*place_of(tab, "spp", 1, 0, 4))
    blocks = residual_network().table().query("layer == 'blocks.4' and tap == 'block'")
    value = blocks.query("signal == 'activation'")["average_channel_variance"].mean()
    told = tab.locator("#tip").inner_text()
    assert told == f"blocks.4\nAverage channel variance: {float(f'{value:.4g}'):g}"
    tab.mouse.move(2, 2)
    assert tab.locator("#tip").is_hidden()


def test_a_click_on_a_point_leads_to_its_layer(show):
    tab = show(page())
    tab.mouse.click(*place_of(tab, "spp", 1, 0, 7))
    assert "blocks.7" in tab.locator("tr.found").text_content()


def test_points_are_where_the_line_is_drawn(show):
    """The centre of a black dot, as the browser has drawn it, is the point that is told."""
    tab = show(page())
    dots = tab.evaluate(
        """() => {
            const uses = [...document.querySelectorAll('#figure-spp svg use')];
            return uses.filter(u => (u.getAttribute('style') || '').includes('--dot'))
                .map(u => u.getBoundingClientRect())
                .map(box => [box.x + box.width / 2, box.y + box.height / 2]);
        }"""
    )
    tab.evaluate("scrollTo(0, 0)")
    place = tab.evaluate(
        """() => {
            const data = JSON.parse(document.getElementById('data').textContent);
            const svg = document.querySelector('#figure-spp svg');
            return data.figures.spp.flatMap(p => p.curves.flatMap(c => c.points.map(([x, y]) => {
                const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
                return [at.x, at.y];
            })));
        }"""
    )
    assert dots
    for x, y in dots:
        assert min((x - a) ** 2 + (y - b) ** 2 for a, b in place) < 2.0**2


def test_cells_of_a_heat_map_tell_layer_and_step(show):
    tab = show(page(steps=4))
    at = tab.evaluate(
        """() => {
            const data = JSON.parse(document.getElementById('data').textContent);
            const panel = data.figures['map-activation'][0];
            const svg = document.querySelector('#figure-map-activation svg');
            svg.scrollIntoView({block: 'center', behavior: 'instant'});
            const middle = (edges, k) => (edges[k] + edges[k + 1]) / 2;
            const cell = new DOMPoint(middle(panel.across, 2), middle(panel.down, 5));
            const at = cell.matrixTransform(svg.getScreenCTM());
            return [at.x, at.y];
        }"""
    )
    tab.mouse.move(*at)
    told = tab.locator("#tip").inner_text().split("\n")
    assert told[0] == "blocks.5"
    assert told[1].startswith("step 2: ")


def test_figures_are_read_by_the_keyboard(show):
    tab = show(page(runs=("net", "other")))
    drawing = tab.locator("#figure-spp .drawing")
    drawing.focus()
    tip = tab.locator("#tip")
    tab.keyboard.press("ArrowRight")
    assert tip.inner_text().split("\n")[:2] == ["net", "stem"]
    tab.keyboard.press("ArrowRight")
    assert tip.inner_text().split("\n")[1] == "blocks.1"
    tab.keyboard.press("ArrowDown")
    assert tip.inner_text().split("\n")[:2] == ["other", "blocks.1"]
    tab.keyboard.press("PageDown")
    assert "Average channel variance: " in tip.inner_text()
    tab.keyboard.press("Escape")
    assert tip.is_hidden()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    assert "stem" in tab.locator("tr.found").text_content()
    assert tip.get_attribute("aria-live") == "polite"


def test_everything_is_reached_by_the_tabulator_and_has_a_name(show):
    tab = show(page(runs=("net", "other"), trained=TRAINED))
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.innerText") == "Skip to the findings"
    nameless = tab.eval_on_selector_all(
        "a, button, input, select, [tabindex='0']",
        """all => all.filter(e => !e.textContent.trim())
            .filter(e => !e.getAttribute('aria-label') && !e.closest('label'))
            .map(e => e.outerHTML)""",
    )
    assert nameless == []
    headings = tab.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => +h.tagName[1])")
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_scheme_of_the_reader_and_can_be_changed(scheme, show):
    tab = show(page(), color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    grounds = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 29)"}
    assert tab.evaluate(ground) == grounds[scheme]
    other = "dark" if scheme == "light" else "light"
    assert tab.locator("#theme").inner_text() == other.capitalize()
    tab.click("#theme")
    assert tab.evaluate(ground) == grounds[other]
    tab.click("#theme")
    assert tab.evaluate(ground) == grounds[scheme]


def test_texts_of_page_and_drawings_stand_out_in_the_dark(show):
    tab = show(page(steps=2, runs=("net", "other")), color_scheme="dark")
    dim = tab.evaluate(
        """() => {
            const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
            const light = color => {
                const [r, g, b] = color.match(/[\\d.]+/g).map(v => linear(v / 255));
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = light(getComputedStyle(document.body).backgroundColor);
            const kinds = 'svg text, p, h1, h2, h3, td, th, a, dt, dd, button';
            const told = e => getComputedStyle(e)[e.closest('svg') ? 'fill' : 'color'];
            return [...document.querySelectorAll(kinds)]
                .filter(e => e.textContent.trim())
                .map(e => [e.textContent.trim().slice(0, 30), told(e)])
                .filter(([, color]) => (light(color) + 0.05) / (ground + 0.05) < 4.5);
        }"""
    )
    assert dim == []


def test_a_narrow_window_needs_no_scrolling_to_the_side(show):
    tab = show(page(steps=2, runs=("net", "other"), trained=TRAINED), width=400)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400


def click_copy(tab, answer):
    """Click with a clipboard that answers so, and give what the button told."""
    write = f"async text => {{ window.written = text; {answer} }}"
    tab.evaluate(f"() => {{ navigator.clipboard.writeText = {write}; }}")
    tab.click("#copy")
    tab.wait_for_function("document.getElementById('copy').textContent !== 'Copy'")
    assert tab.evaluate("window.written") == "sppkit report 'a b.py'"
    return tab.locator("#copy").inner_text()


def test_the_command_is_copied(show):
    tab = show(page(command="sppkit report 'a b.py'"))
    assert click_copy(tab, "return") == "Copied"
    assert tab.evaluate("getSelection().toString()") == ""


def test_where_copying_is_not_allowed_the_command_is_selected(show):
    tab = show(page(command="sppkit report 'a b.py'"))
    assert click_copy(tab, "throw new Error('not allowed')") == "Selected"
    assert tab.evaluate("getSelection().toString()") == "sppkit report 'a b.py'"


def test_without_a_script_the_page_reads_and_links(show):
    tab = show(page(), java_script_enabled=False)
    assert tab.locator("#filters").is_hidden()
    assert tab.locator("#copy").is_hidden()
    assert tab.locator("#layer-table tbody tr").count() == 13
    tab.click("a.to-layer")
    assert tab.url.endswith("#layer-0-5")


def test_names_of_others_do_nothing_in_a_browser(show):
    recording = renamed(residual_network(), HOSTILE, {"blocks.4": HOSTILE})
    tab = show(
        make_report(recording, [diagnosis(HOSTILE, (HOSTILE,))], command=HOSTILE, title=HOSTILE)
    )
    tab.click("a.to-layer")
    assert "alert" in tab.locator("tr.found").text_content()
    tab.mouse.move(*place_of(tab, "spp", 1, 0, 4))
    assert "</script>" in tab.locator("#tip").inner_text()


@pytest.mark.slow
def test_a_page_of_two_hundred_layers_opens_in_a_second(show):
    recording = large()
    tab = show(make_report(recording, judged(recording)))
    timing = json.loads(
        tab.evaluate("JSON.stringify(performance.getEntriesByType('navigation')[0])")
    )
    assert timing["domContentLoadedEventEnd"] < 1000
