"""Normalizer-free residual networks, without any layer that looks at the batch.

Paper: Characterizing signal propagation to close the performance gap in unnormalized ResNets,
Brock, De, Smith, 2021, arXiv 2101.08692. Authors' code: deepmind-research/nfnets/nf_resnet.py.

Where ours differs:

- gains of nonlinearities are exact; the authors' are Monte-Carlo values (relu 1.71396 for 1.71286);
- padding is symmetric, as torch has it; the authors' "SAME" pads strided layers at one side;
- stochastic depth and dropout are off by default (0.1 and 0.25 there);
- the members for small images (variants 20, 26-cifar, digits) are ours.

`convention="timm"` builds what timm/models/nfnet.py builds: the gains, published ones, belong to
the convolutions, eps is added to the variance, strided skip paths average, drops are rescaled. With
`skip_gain=None` it has timm's parameters and, with its weights, its outputs.

As in the authors' code, and unlike the paper's formula x + alpha f(x / beta), the division follows
the nonlinearity, g(x) / beta: the same for ReLU, not for GELU or SiLU. The skip gain is initially 0
(SkipInit: Batch normalization biases residual blocks towards the identity function in deep
networks, De, Smith, 2020, arXiv 2002.10444), so a signal propagation plot at initialisation shows
nothing of the branches; build with `skip_gain=1.0` to see them.
"""

from torch import nn

from sppkit.models.normalizer_free import (
    CLASSIFIER_DEVIATION,
    ConventionName,
    NormalizerFreeLayers,
    find_convention,
    normalizer_free_stages,
)
from sppkit.models.topology import (
    BlockShape,
    PaddingMode,
    ResidualNetwork,
    find_topology,
    make_classifier,
    make_head,
    make_stem,
)


def nf_resnet(
    variant: str | int = "50",
    *,
    classes: int = 1000,
    in_channels: int = 3,
    width: int = 64,
    padding_mode: PaddingMode = "zeros",
    stem_pool: bool = True,
    activation: str = "relu",
    alpha: float = 0.2,
    skip_gain: float | None = 0.0,
    squeeze_excite: float = 0.0,
    stochastic_depth: float = 0.0,
    dropout: float = 0.0,
    convention: ConventionName = "deepmind",
) -> ResidualNetwork:
    """Build a normalizer-free residual network.

    NF-ResNet-50 has 25,557,048 parameters: as many as a ResNet-50 with batch normalisation
    (25,557,032; a gain and a bias per filter replace the normalisation's two), and 16 skip gains.

    Args:
        variant: a name of `sppkit.models.topology.TOPOLOGIES`: 26, 50, 101, 152, 200, 288 and 600
            have bottleneck blocks and the stem for large images, 20 and 26-cifar are for images of
            32x32, digits for 8x8.
        classes: logits.
        in_channels: channels of the images.
        width: channels of the stem, and hidden channels of the first stage.
        padding_mode: of the convolutions; "circular" loses no variance at the border.
        stem_pool: whether the large stem ends with max-pooling, as in the paper; without it the
            first block sees the unit variance that the ladder starts from.
        activation: a name of `sppkit.theory.NONLINEARITIES`.
        alpha: scale of the residual branches.
        skip_gain: initial value of the learned scalars at the branches' ends; None: see
            `NormalizerFreeBlock`.
        squeeze_excite: hidden channels of squeeze-and-excite at the branches' ends, as a share of
            the channels there; 0.25 in the authors' code, 1/16 in timm's nf_seresnet, 0 is none.
        stochastic_depth: drop rate, growing linearly from 0 at the first block towards this value.
        dropout: rate before the classifier.
        convention: "deepmind" or "timm".

    Returns:
        The network, initialised from torch's global generator.

    Raises:
        ValueError: an unknown variant, activation or convention.
    """
    topology = find_topology(variant)
    layers = NormalizerFreeLayers(find_convention(convention), activation, padding_mode)
    shapes = topology.blocks(width)
    stages = normalizer_free_stages(
        topology.depths,
        ((_shortcut(shape, layers), _branch(shape, layers, squeeze_excite)) for shape in shapes),
        layers,
        alpha=alpha,
        skip_gain=skip_gain,
        stochastic_depth=stochastic_depth,
    )
    classifier = make_classifier(
        topology.out_channels(width), classes, deviation=CLASSIFIER_DEVIATION
    )
    return ResidualNetwork(
        make_stem(
            topology, layers.convolution, in_channels=in_channels, width=width, pool=stem_pool
        ),
        stages,
        make_head(classifier, activation=layers.nonlinearity(), dropout=dropout),
    )


def _branch(
    shape: BlockShape, layers: NormalizerFreeLayers, squeeze_excite: float
) -> nn.Sequential:
    shapes = shape.convolutions()
    return layers.branch(shapes, squeeze_excite=squeeze_excite, behind=len(shapes))


def _shortcut(shape: BlockShape, layers: NormalizerFreeLayers) -> nn.Module | None:
    if not shape.transition:
        return None
    if shape.stride == 1:  # a transition has a convolution, even where no channel is added
        return layers.convolution(shape.in_channels, shape.out_channels, 1, 1)
    return layers.shortcut(
        shape.in_channels,
        shape.out_channels,
        shape.stride,
        pooled=layers.convention.pooled_shortcuts,
    )
