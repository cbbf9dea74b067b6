"""The plug-in, in sessions of pytest of its own."""

import json
import subprocess
import sys

import pytest

# sessions inside take back what they import, and torch registers an operator once in a process
import sppkit.gate
import sppkit.plots  # noqa: F401

pytest_plugins = ["pytester"]

MODULE = """
    import pytest
    from torch import nn
    from tests.testing.networks import exploding, healthy

    @pytest.mark.spp(input_size=(32,), seeds=2, maximum_seeds=2)
    class TestSignal:
        def test_healthy(self, spp):
            assert spp.assert_preserving(healthy).verdict == "pass"

        def test_exploding(self, spp):
            spp.assert_preserving(exploding)

        @pytest.mark.parametrize("mode", ["train", "eval/../x"])
        def test_baseline(self, spp, mode):
            spp.check_baseline(healthy)
"""


@pytest.fixture
def session(pytester, monkeypatch, pytestconfig):
    """Run pytest in a folder of its own, with our plug-in and warnings as errors."""
    monkeypatch.syspath_prepend(pytestconfig.rootpath)
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath), prepend=":")
    pytester.makeini("[pytest]")

    def run(*arguments, source=MODULE, plugins=("-p", "sppkit.pytest_plugin")):
        pytester.makepyfile(test_net=source)
        flags = ("-p", "no:randomly", "-p", "no:cacheprovider", "-W", "error")
        return pytester.runpytest_inprocess(*known(plugins), *flags, *arguments)

    return run


def known(plugins):
    """Name the plug-in only where no installed entry point has loaded it already."""
    from importlib.metadata import entry_points

    installed = any(point.value == plugins[1] for point in entry_points(group="pytest11"))
    return () if installed else plugins


def baselines(pytester):
    return sorted(path.name for path in pytester.path.rglob("*.parquet"))


def test_a_failure_tells_offender_layers_advice_and_the_plot(session, pytester):
    result = session("-k", "healthy or exploding", "--spp-results-path", "out")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*AssertionError: exploding does not preserve its signal (2 seeds).",
            "E*First offender: *SPP*",
            "E*Worst layers (second moment over that of the first):",
            "E*Advice: *",
            "E*Plot: *out*test_exploding*.png",
        ]
    )
    (plot,) = (pytester.path / "out").iterdir()
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_without_a_results_path_plots_go_to_the_temporary_folder(session, pytester):
    before = set(pytester.path.iterdir())
    result = session("-k", "exploding")
    result.stdout.fnmatch_lines(["E*Plot: *.png"])
    new = {path.name for path in set(pytester.path.iterdir()) - before}
    assert new <= {"__pycache__", "test_net.py"}


def test_baselines_are_asked_for_written_and_compared(session, pytester):
    missing = session("-k", "baseline")
    missing.assert_outcomes(failed=2)
    missing.stdout.fnmatch_lines(["E*there is no baseline*--spp-update-baselines"])
    session("-k", "baseline", "--spp-update-baselines").assert_outcomes(passed=2)
    assert len(baselines(pytester)) == 2
    assert all("/" not in name and name.startswith("TestSignal") for name in baselines(pytester))
    session("-k", "baseline").assert_outcomes(passed=2)
    moved = session(
        "-k", "baseline", source=MODULE.replace("baseline(healthy", "baseline(exploding")
    )
    moved.assert_outcomes(failed=2)
    moved.stdout.fnmatch_lines(["E*left its baseline*layers moved by more than*standard*"])


def test_a_baseline_of_another_architecture_is_an_error_that_says_so(session):
    source = """
        from torch import nn

        def test_baseline(spp):
            spp.check_baseline(lambda: nn.Linear(WIDTH, 4), path="a.parquet", input_size=(WIDTH,))
    """
    session("--spp-update-baselines", source=source.replace("WIDTH", "4")).assert_outcomes(passed=1)
    result = session(source=source.replace("WIDTH", "5"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*BaselineError: the baseline is of another architecture*"])


def test_a_recording_may_be_compared_and_arguments_come_before_the_marker(session):
    source = """
        import pytest
        from torch import nn

        @pytest.mark.spp(input_size=(4,), seeds=3, select=("SPP4",))
        def test_all(spp):
            recording = spp.probe(lambda: nn.Linear(4, 4), seeds=2)
            assert recording.metadata["model"]["seeds"] == [0, 1]
            spp.check_baseline(recording)
            found = spp.check(lambda: nn.Linear(4, 4))
            assert {code[:4] for code in found.passed} == {"SPP4"}
    """
    session("--spp-update-baselines", source=source).assert_outcomes(passed=1)
    session(source=source).assert_outcomes(passed=1)


@pytest.mark.parametrize("distribution", [(), ("-n", "2")])
def test_the_summary_holds_what_all_workers_measured(distribution, session, pytester):
    flags = ("--spp-results-path", "out", "--spp-generate-summary", "html,json")
    if distribution:
        pytest.importorskip("xdist")
    result = session("-k", "healthy or exploding", *flags, *distribution)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["signal propagation summary: *spp-summary.html"])
    summary = json.loads((pytester.path / "out" / "spp-summary.json").read_text())
    told = [(m["test"].split("::")[-1], m["outcome"], m["verdict"]) for m in summary["measured"]]
    assert told == [("test_exploding", "failed", "fail"), ("test_healthy", "passed", "pass")]
    assert summary["measured"][0]["diagnosis"]["findings"]
    page = (pytester.path / "out" / "spp-summary.html").read_text()
    assert "test_exploding" in page
    assert "SPP101" in page


def test_ini_settings_are_the_twins_of_flags(session, pytester):
    pytester.makeini(
        """
        [pytest]
        spp_update_baselines = true
        spp_results_path = results
        spp_generate_summary = json
        """
    )
    session("-k", "baseline").assert_outcomes(passed=2)
    assert len(baselines(pytester)) == 2
    assert [path.name for path in (pytester.path / "results").iterdir()] == ["spp-summary.json"]


def test_hostile_names_stay_text_in_the_summary(session, pytester):
    source = """
        from torch import nn

        def test_names(spp):
            model = nn.Sequential()
            model.add_module("<script>x</script>\\x1b", nn.Linear(4, 4))
            nn.init.constant_(model[0].weight, float("nan"))
            spp.check(model, input_size=(4,), seeds=2, run="<b>bold</b>")
    """
    session("--spp-generate-summary", "html", source=source).assert_outcomes(passed=1)
    page = (pytester.path / "spp-results" / "spp-summary.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


def test_an_unknown_format_of_summary_is_a_usage_error(session):
    result = session("--spp-generate-summary", "pdf")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'pdf' is no format of a summary; expected html, json*"])


def test_a_marker_with_positional_arguments_is_refused(session):
    source = """
        import pytest

        @pytest.mark.spp(5)
        def test_it(spp):
            spp.probe(None)
    """
    session(source=source).stdout.fnmatch_lines(["*takes keywords alone*(5,)*"])


def test_the_marker_is_known_and_explained(session):
    session("--markers").stdout.fnmatch_lines(["@pytest.mark.spp(**options):*"])
    session("--strict-markers", "-k", "healthy").assert_outcomes(passed=1)


def test_sessions_that_do_not_use_the_fixture_load_no_torch(session, pytester):
    source = """
        import sys

        def test_it():
            assert "torch" not in sys.modules
            assert "pandas" not in sys.modules
    """
    path = pytester.makepyfile(source)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", str(path)]
    run = subprocess.run(
        [*command, *known(("-p", "sppkit.pytest_plugin")), "-p", "no:randomly"],
        capture_output=True,
        text=True,
        cwd=pytester.path,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "warning" not in run.stdout.lower()


def test_a_session_is_quiet_where_sppkit_was_imported_before(pytester):
    path = pytester.makepyfile("def test_it(): pass")
    flags = ["-q", "-W", "error", "-p", "no:randomly", str(path)]
    code = (
        "import sys, pytest, sppkit\n"
        "from _pytest.assertion.rewrite import AssertionRewriter\n"
        "assert AssertionRewriter.is_rewrite_disabled(sppkit.__doc__)\n"
        f"sys.exit(pytest.main({flags!r}))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
