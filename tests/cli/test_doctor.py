import torch

import sppkit
from sppkit.kernels import native
from tests.cli.test_plot import RESIDUAL


def test_without_a_model_the_machine_is_described(spp):
    text = spp("doctor").stdout
    for fact in (sppkit.__version__, torch.__version__, "cuda", "mps", "timm", "torchvision"):
        assert fact in text
    assert f"reads on the cpu   {native.description()[:20]}" in text


def test_what_can_be_observed_of_a_model_is_told(spp, write):
    result = spp("doctor", write(RESIDUAL))
    words = " ".join(result.stdout.split())
    for fact in (
        "run Net",
        "parameters 513",
        "input gaussian noise, 16x8",
        "stem blocks.0",
        "blocks 3, blocks.1 to blocks.3",
        "residual branches 3, blocks.1.branch.2 to blocks.3.branch.2",
        "skip paths 3 identity",
        "stages 1",
        "layers observed 10 of 10 that were called",
    ):
        assert fact in words
    assert "1 not captured (forgotten)" in result.stderr


def test_zero_initialised_gains_are_named(spp, write):
    result = spp("doctor", write(RESIDUAL), "-k", "gain=0.0")
    assert "3 gains at zero (blocks.1.gain" in result.stderr


def test_a_library_that_cannot_be_imported_is_told_in_a_line(spp, folder, monkeypatch):
    (folder / "timm.py").write_text("raise RuntimeError('a wheel that does not fit')\n")
    monkeypatch.syspath_prepend(folder)
    assert "fails to import: RuntimeError: a wheel that does not fit" in spp("doctor").stdout


def test_a_model_that_cannot_be_run_is_an_error(spp, chain):
    result = spp("doctor", chain, "-s", "9", code=2)
    assert "error: " in result.stderr


def test_a_model_in_which_nothing_is_seen_is_not_well(spp, write):
    net = """
        from torch import nn

        class Net(nn.Module):
            def forward(self, x):
                return x.long()
    """
    assert "no activation" in spp("doctor", write(net), "-s", "4", code=5).stderr


def test_the_limits_are_printed_without_a_model(spp):
    result = spp("doctor", "--limits")
    for part in ("Training loops", "A layer is used several times", "One row per call."):
        assert part in result.stdout
