"""The nonlinearity in front of a layer."""

from torch import nn

import sppkit
from sppkit.init import nonlinearities_in_front


def test_the_nonlinearity_in_front_is_the_last_that_the_input_passed():
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 4, 1), nn.Hardswish(), nn.BatchNorm2d(4)),
        *(nn.Conv2d(4, 4, 1), nn.LogSigmoid(), nn.Conv2d(4, 4, 1)),
    )
    structure = sppkit.probe(model, input_size=(3, 8, 8), seeds=1).structure()
    assert nonlinearities_in_front(structure) == {
        "0": "identity",
        "3": "relu",
        "6": "identity",
        "8": "logsigmoid",
    }
