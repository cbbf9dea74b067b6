"""Networks of Hugging Face's transformers from their configuration, with random weights.

`stated` finds what a configuration says, `configuration` makes one of it, `network` finds and
builds the class it is for, `inputs` infers what its forward takes. Nothing is downloaded, no code
that comes with a configuration is run, and no weights are read.
"""

from sppkit.targets.hugging_face.configuration import make_configuration
from sppkit.targets.hugging_face.inputs import InputsOfNetwork, infer_inputs
from sppkit.targets.hugging_face.network import build_network, check_memory, network_class
from sppkit.targets.hugging_face.stated import StatedConfiguration, find_stated

__all__ = [
    "InputsOfNetwork",
    "StatedConfiguration",
    "build_network",
    "check_memory",
    "find_stated",
    "infer_inputs",
    "make_configuration",
    "network_class",
]
