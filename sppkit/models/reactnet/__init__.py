"""ReActNets: networks of binary activations and weights, with batch normalisation and without.

Papers: "BNN - BN = ?": Training binary neural networks without batch normalization, Chen, Zhang,
Ouyang, Liu, Shen, Wang, 2021, arXiv 2104.08215; ReActNet, Liu, Shen, Savvides, Cheng, 2020, arXiv
2003.03488 (the networks with batch normalisation). Authors' code: VITA-Group/BNN_NoBN, models/,
whose files Qa_* binarise activations only (`binary="activations"`), Qaw_* weights as well.

The three norms are the authors': "bf" (batch-free: scaled weight standardisation, branches scaled
by alpha, inputs divided by their expected deviation), "bn", and "none" (batch normalisation taken
out and nothing put in its place).

Where ours differs: the small members, and `initial_weights="fan_in"`, are ours. The authors'
binary weights start positive, so that without standardisation all filters of a layer are equal:
they are meant to be loaded from a first stage of training (`sppkit.training.two_stages`).

A sign forgets the scale of its input. So beta acts through what is not a sign of it: the learned
thresholds, the window of the gradient, and the skip path of a transition.
"""

from sppkit.models.reactnet.layers import DoublingReActLayer, ReActLayer
from sppkit.models.reactnet.mobilenet import (
    CHANNELS_A,
    binary_mobilenet,
    reactnet_a,
    reactnet_a_variances,
)
from sppkit.models.reactnet.resnet import STAGES_18, binary_resnet, reactnet18
from sppkit.models.reactnet.style import Binary, Norm, Style

__all__ = [
    "CHANNELS_A",
    "STAGES_18",
    "Binary",
    "DoublingReActLayer",
    "Norm",
    "ReActLayer",
    "Style",
    "binary_mobilenet",
    "binary_resnet",
    "reactnet18",
    "reactnet_a",
    "reactnet_a_variances",
]
