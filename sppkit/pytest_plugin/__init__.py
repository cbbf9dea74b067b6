"""The plug-in of pytest: fixture `spp`, marker `spp`, and flags with ini twins.

pytest loads this module in every session of everyone who has sppkit installed, so it imports
pytest alone; torch comes with the first call of the fixture. Under xdist each worker hands what it
measured to the controller with its reports, and the controller alone writes the summary.

PYTEST_DONT_REWRITE: there is no assertion in here, and a warning where it was imported before.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from sppkit.pytest_plugin.options import MEASURED, OPTIONS, add_options, read_options

if TYPE_CHECKING:
    from sppkit.pytest_plugin.fixture import Spp


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flags and their ini twins."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, read the flags, and collect where a summary is asked for."""
    config.addinivalue_line(
        "markers",
        "spp(**options): arguments of sppkit.probe and sppkit.check for the fixture spp, such as "
        "seeds=5, input_size=(3, 64, 64)",
    )
    options = config.stash[OPTIONS] = read_options(config)
    if options.summaries and not hasattr(config, "workerinput"):  # xdist's workers do not write
        from sppkit.pytest_plugin.summary import Summary

        config.pluginmanager.register(Summary(options), "spp-summary")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Hand what a test measured to its report, which travels from workers to the controller."""
    outcome = yield
    measured = item.stash.get(MEASURED, None)
    report = outcome.get_result()
    if measured and report.when == "call":
        report.spp_measured = measured


@pytest.fixture
def spp(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Spp":
    """Probe networks, assert that they carry their signal, compare them with baselines."""
    from sppkit.pytest_plugin.fixture import Spp

    return Spp(request.node, request.config.stash[OPTIONS], tmp_path_factory)
