"""The experiments of the papers on training without batch normalisation, as presets.

Each has a small form on scikit-learn's digits, which finishes on two CPU cores within minutes, and
the published one for a GPU. What the small forms gave is in docs/reproductions.md.
"""

import difflib

from sppkit.training.reproduction import Reproduction
from sppkit.training.reproductions.binary_without_bn import BINARY_WITHOUT_BN
from sppkit.training.reproductions.bn_affine_ffnn import BN_AFFINE_FFNN
from sppkit.training.reproductions.eunnet_bn_settings import EUNNET_BN_SETTINGS
from sppkit.training.reproductions.instead_of_bn import INSTEAD_OF_BN
from sppkit.training.reproductions.nf_batch_size import NF_BATCH_SIZE
from sppkit.training.reproductions.selu_efficientnet import SELU_EFFICIENTNET

REPRODUCTIONS: tuple[Reproduction, ...] = (
    BN_AFFINE_FFNN,
    SELU_EFFICIENTNET,
    NF_BATCH_SIZE,
    EUNNET_BN_SETTINGS,
    BINARY_WITHOUT_BN,
    INSTEAD_OF_BN,
)


def find_reproduction(name: str | None) -> Reproduction | None:
    """Return the reproduction of that name; None where it is the name of none."""
    return next((each for each in REPRODUCTIONS if each.name == name), None)


def nearest_reproduction(name: str) -> str | None:
    """Return the name of a reproduction that is almost this one.

    >>> nearest_reproduction("eunet_bn_settings")
    'eunnet_bn_settings'
    """
    near = difflib.get_close_matches(name, [each.name for each in REPRODUCTIONS], n=1)
    return near[0] if near else None
