"""EfficientNet-B0 with its normalisation, and five ways to take that out, none of which trains.

    sppkit check examples/efficientnet.py:with_batch_norm
    sppkit check examples/efficientnet.py:without_normalization --try-fix

Architecture: Tan, Le, 2019, arXiv 1905.11946. The sick variants are mistakes that were made in
earnest, with the average channel variance that they leave of a 32 x 32 picture:

- `without_normalization`: batch normalisation removed, initialisation by fan-out kept (1e-28);
- `with_dynamic_tanh`: tanh(a x) in its place, as for transformers, weights not adapted (1e-41);
- `standardized_without_fan_in`: weights standardised, and not divided by the root of the fan-in;
- `standardized_selu`: the same with SELU, which cannot hold against it either;
- `unit_weights`: weights of unit variance, whose scaling is computed and then not used.

`sppkit models efficientnet_b0` lists what else was tried, and what holds.
"""

from functools import partial

from torch import nn

from sppkit.models.efficientnet import efficientnet_b0

INPUT_SIZE = (3, 32, 32)

with_batch_norm = partial(efficientnet_b0, "bn", classes=100)
without_normalization = partial(efficientnet_b0, "none", classes=100)
with_dynamic_tanh = partial(efficientnet_b0, "dyt", classes=100)
standardized_without_fan_in = partial(efficientnet_b0, "ws", classes=100)
standardized_selu = partial(efficientnet_b0, "ws_sn", classes=100)


def unit_weights() -> nn.Module:
    """Build the network without normalisation and draw its weights from N(0, 1)."""
    network = efficientnet_b0("none", classes=100)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight)
    return network
