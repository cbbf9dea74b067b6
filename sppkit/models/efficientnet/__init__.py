"""EfficientNet-B0 with batch normalisation, without, and with eleven things put in its place.

Papers: EfficientNet: Rethinking model scaling for convolutional neural networks, Tan, Le, 2019,
arXiv 1905.11946 ("bn"); Designing Normalizer-Free EfficientNets, Dewyse, 2025, JKU Linz (others,
for CIFAR-100). Author's code of the latter: PDewyse/MT_Normalizer_free_Neural_Nets, models/: files
efficientnet (bn, none), snefficientnet (sn), snefficientnet1 (sn_mp), dympsnefficientnet1
(sn_mp_learned), unefficientnet (un), dytefficientnet, dytsnefficientnet, wsefficientnet,
wssnefficientnet, wssnefficientnet1 (ws_se_sn). Parts: Self-Normalizing Neural Networks, Klambauer
et al., 2017, arXiv 1706.02515; Weight standardization, Qiao et al., 2019, arXiv 1903.10520;
Transformers without normalization, Zhu et al., 2025, arXiv 2503.10622.

Where ours differs:

- SiLU is one module; theirs is built of a sigmoid, which is what their plots then show;
- the gain of SiLU is computed (1.67653 where the code has 1 / 0.596469);
- stochastic depth, which the thesis' code has and does not apply, is left out;
- blocks without a skip path have no learned weight of a merge ("sn_mp_learned"): the author's have
  one that nothing uses, 7 parameters more than ours;
- "un_repaired" and "sws" are ours, and so is the small member.
"""

from sppkit.models.efficientnet.inverted_bottleneck import InvertedBottleneck
from sppkit.models.efficientnet.layers import ConvolutionalSqueezeExcite
from sppkit.models.efficientnet.network import (
    STAGES_B0,
    STAGES_SMALL,
    Stage,
    efficientnet,
    efficientnet_b0,
    efficientnet_small,
)
from sppkit.models.efficientnet.parts import VARIANTS, Parts, find_parts

__all__ = [
    "STAGES_B0",
    "STAGES_SMALL",
    "VARIANTS",
    "ConvolutionalSqueezeExcite",
    "InvertedBottleneck",
    "Parts",
    "Stage",
    "efficientnet",
    "efficientnet_b0",
    "efficientnet_small",
    "find_parts",
]
