"""Residual networks with batch normalisation, and their self-normalizing twin."""

from sppkit.models.references.reference import Reference

_IDENTITY_MAPPINGS = (
    "Identity mappings in deep residual networks, He, Zhang, Ren, Sun, 2016, arXiv 1603.05027"
)
_SELF_NORMALIZING = (
    "Self-Normalizing Neural Networks, Klambauer, Unterthiner, Mayr, Hochreiter, 2017, "
    "arXiv 1706.02515"
)
_GROWS = "variance (1 - 1/pi)(1 + i) and squared mean (1 + i)/pi at block i of each stage"

RESIDUAL: tuple[Reference, ...] = (
    Reference(
        name="bn_resnet20",
        family="ResNet",
        build="sppkit.models.bn_resnet:bn_resnet20",
        paper=_IDENTITY_MAPPINGS,
        summary="basic blocks, 3 stages of 3, batch normalisation; order= bn-relu, relu-bn or post",
        expectation=_GROWS,
        input_size=(3, 32, 32),
        parameters=272_538,
    ),
    Reference(
        name="bn_resnet26",
        family="ResNet",
        build="sppkit.models.bn_resnet:bn_resnet26",
        paper=_IDENTITY_MAPPINGS,
        summary="bottleneck blocks, stages of 2 2 2 2, batch normalisation",
        expectation=_GROWS,
        input_size=(3, 128, 128),
        parameters=15_987_496,
    ),
    Reference(
        name="bn_resnet50",
        family="ResNet",
        build="sppkit.models.bn_resnet:bn_resnet50",
        paper=_IDENTITY_MAPPINGS,
        summary="bottleneck blocks, stages of 3 4 6 3, batch normalisation",
        expectation=_GROWS,
        input_size=(3, 128, 128),
        parameters=25_549_352,
    ),
    Reference(
        name="sn_resnet20",
        family="self-normalizing ResNet",
        build="sppkit.models.sn_resnet:sn_resnet20",
        paper=_SELF_NORMALIZING,
        summary="SELU twin of bn_resnet20, merges (a + b) / sqrt 2",
        expectation="variance near 1, squared mean near 0; zero padding costs some at each 3x3",
        input_size=(3, 32, 32),
        parameters=271_962,
    ),
)
