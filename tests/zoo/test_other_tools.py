"""What timm itself measures is read as what sppkit measures of the same network."""

import numpy as np
import torch

import sppkit
from sppkit.exchange import from_timm
from tests.zoo.test_reference_networks import require
from tests.zoo.torchvision_shim import import_torchvision


def test_timms_statistics_of_a_resnet_are_ours():
    require("timm")
    import_torchvision()
    import timm
    from timm.utils.model import avg_ch_var, avg_ch_var_residual, avg_sq_ch_mean, extract_spp_stats

    model = timm.create_model("resnet18", zero_init_last=False).train()
    torch.manual_seed(0)
    stats = extract_spp_stats(
        model,
        ["layer?.?", "layer?.?", "layer?.?.bn2"],
        [avg_sq_ch_mean, avg_ch_var, avg_ch_var_residual],
        (4, 3, 64, 64),
    )
    theirs = from_timm(stats).table()
    torch.manual_seed(0)
    x = torch.normal(0.0, 1.0, (4, 3, 64, 64))
    with sppkit.record(model) as recording:
        model(x).sum().backward()
    ours = recording.table()
    ours = ours[(ours["signal"] == "activation")]
    for tap in ("block", "residual branch"):
        here, there = (t[t["tap"] == tap].sort_values("block") for t in (ours, theirs))
        unbiased = here["samples"] / (here["samples"] - 1)
        np.testing.assert_allclose(
            there["average_channel_variance"],
            here["average_channel_variance"] * unbiased,
            rtol=1e-4,
        )
    blocks = (t[t["tap"] == "block"].sort_values("block") for t in (ours, theirs))
    here, there = (t["average_channel_squared_mean"] for t in blocks)
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-8)
