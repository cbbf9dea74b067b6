"""What cannot be converted is refused by name, before anything is changed."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations

from sppkit.init import convert_to_normalizer_free
from sppkit.models.efficientnet import efficientnet_b0
from sppkit.models.nf_resnet import nf_resnet
from tests.capture.test_left_as_found import state_of


class Residual(nn.Module):
    def __init__(self, *branch, scale=1.0):
        super().__init__()
        self.branch, self.scale = nn.Sequential(*branch), scale

    def forward(self, x):
        return x + self.scale * self.branch(x)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("variance", torch.ones(4))

    def forward(self, x):
        return F.batch_norm(self.conv(x), self.mean, self.variance)


class Special(nn.Conv2d):
    pass


def chain(*layers):
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), *layers)


def nested():
    inner = Residual(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1))
    return chain(
        *(Residual(inner, nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)), nn.ReLU()),
        Residual(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1)),
    )


REFUSED = {
    "a rectified skip path without a known law": (
        lambda: chain(
            *(Residual(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)), nn.GELU()),
            *(Residual(nn.Conv2d(4, 4, 3, padding=1)), nn.Conv2d(4, 4, 1)),
        ),
        "the skip path of '4' goes through gelu, where only the relu behind each sum",
    ),
    "pre-activation behind post-activation": (
        lambda: chain(
            *(nn.ReLU(), Residual(nn.Conv2d(4, 4, 3, padding=1)), nn.ReLU()),
            *(Residual(nn.Conv2d(4, 4, 3, padding=1)),),
            *(Residual(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)), nn.Conv2d(4, 4, 1)),
        ),
        "'6' adds to a sum of rectified signals without relu",
    ),
    "a layer behind post-activation": (
        lambda: chain(
            *(nn.ReLU(), Residual(nn.Conv2d(4, 4, 3, padding=1)), nn.Conv2d(4, 4, 1)),
            nn.Conv2d(4, 4, 1),
        ),
        "'4' reads a sum of rectified signals without relu",
    ),
    "squeeze-and-excite": (
        lambda: efficientnet_b0(variant="bn", classes=10),
        "the signal goes through 'mul#2' in 'stages.0.0.branch.squeeze_excite', behind which its",
    ),
    "no normalisation": (lambda: nn.Conv2d(3, 4, 3), "no batch normalisation was called"),
    "normaliser-free already": (
        lambda: nf_resnet("digits", width=4),
        "no batch normalisation was called",
    ),
    "another normalisation": (
        lambda: chain(nn.GroupNorm(2, 4)),
        "'2' is another normalisation, group_norm",
    ),
    "a functional normalisation": (
        Functional,
        "'' normalises in its own forward, not by a torch.nn.BatchNorm module",
    ),
    "a transposed convolution": (
        lambda: chain(nn.ConvTranspose2d(4, 4, 3), nn.Conv2d(4, 4, 1)),
        "'2' is of the class ConvTranspose2d, and only a plain torch.nn.Conv2d is known",
    ),
    "a convolution of one's own": (
        lambda: chain(Special(4, 4, 3), nn.Conv2d(4, 4, 1)),
        "'2' is of the class Special",
    ),
    "a depthwise 1x1 convolution": (
        lambda: chain(nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 4, 1)),
        "'2' has one weight per filter, which would become 0",
    ),
    "a parametrized convolution": (
        lambda: chain(parametrizations.weight_norm(nn.Conv2d(4, 4, 1)), nn.Conv2d(4, 4, 1)),
        "'2' is of the class ParametrizedConv2d",
    ),
    "a normalised linear layer": (
        lambda: chain(nn.Flatten(), nn.Linear(256, 4), nn.BatchNorm1d(4)),
        "'4' reads '3', a Linear that is not standardised",
    ),
    "a convolution behind a linear layer": (
        lambda: chain(
            *(nn.Flatten(), nn.Linear(256, 64), nn.Unflatten(1, (4, 4, 4))),
            *(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)),
        ),
        "'5' reads '3', a Linear that is not standardised",
    ),
    "a nonlinearity without a gain": (
        lambda: chain(nn.Hardtanh(), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)),
        "in front of '3' stands hardtanh, which has no known gain",
    ),
    "a scaled branch": (
        lambda: chain(Residual(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), scale=0.5)),
        "the residual branch that ends with '2.branch.1' has a scale already",
    ),
    "a branch that ends with a nonlinearity": (
        lambda: chain(Residual(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())),
        "the residual branch that ends with '2.branch.1' ends with relu, not with a convolution",
    ),
    "nested branches": (nested, "is inside a residual branch or around several blocks"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart_is_refused_by_name_and_left_alone(name):
    build, message = REFUSED[name]
    torch.manual_seed(0)
    model = build()
    before = state_of(model)
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    with pytest.raises(ValueError, match="has no normaliser-free counterpart here") as caught:
        convert_to_normalizer_free(model, torch.randn(2, first.in_channels, 8, 8))
    assert message in str(caught.value)
    assert str(caught.value).endswith("Nothing was changed.")
    assert state_of(model) == before


def test_a_convolution_that_is_called_on_signals_that_differ_is_refused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
            self.head = nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.head(self.conv(torch.relu(self.norm(self.conv(x)))))

    with pytest.raises(ValueError, match="'conv' is called several times on signals that differ"):
        convert_to_normalizer_free(Twice(), torch.randn(2, 4, 8, 8))
