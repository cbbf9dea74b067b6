"""What NF-ResNets, NF-RegNets and NFNets are made of: their layers, block and conventions.

Papers: Characterizing signal propagation to close the performance gap in unnormalized ResNets,
Brock, De, Smith, 2021, arXiv 2101.08692; High-performance large-scale image recognition without
normalization, Brock, De, Smith, Simonyan, 2021, arXiv 2102.06171. Authors' code:
deepmind-research/nfnets. Ports: timm/models/nfnet.py.
"""

from sppkit.models.normalizer_free.block import NormalizerFreeBlock, normalizer_free_stages
from sppkit.models.normalizer_free.convention import (
    CONVENTIONS,
    PUBLISHED_GAINS,
    Convention,
    ConventionName,
    find_convention,
)
from sppkit.models.normalizer_free.layers import CLASSIFIER_DEVIATION, NormalizerFreeLayers

__all__ = [
    "CLASSIFIER_DEVIATION",
    "CONVENTIONS",
    "PUBLISHED_GAINS",
    "Convention",
    "ConventionName",
    "NormalizerFreeBlock",
    "NormalizerFreeLayers",
    "find_convention",
    "normalizer_free_stages",
]
