"""Normaliser-free networks: NF-ResNets, NF-RegNets and NFNets."""

from sppkit.models.references.reference import Reference

_CHARACTERIZING = (
    "Characterizing signal propagation to close the performance gap in unnormalized ResNets, "
    "Brock, De, Smith, 2021, arXiv 2101.08692"
)
_LADDER = "with skip_gain=1: variance 1 + 0.04 i at block i of each stage, squared mean near 0"

NORMALIZER_FREE: tuple[Reference, ...] = (
    Reference(
        name="nf_resnet20",
        family="NF-ResNet",
        build="sppkit.models.nf_resnet:nf_resnet20",
        paper=_CHARACTERIZING,
        summary="normalizer-free twin of bn_resnet20",
        expectation=_LADDER,
        input_size=(3, 32, 32),
        parameters=272_771,
    ),
    Reference(
        name="nf_resnet26_cifar",
        family="NF-ResNet",
        build="sppkit.models.nf_resnet:nf_resnet26_cifar",
        paper=_CHARACTERIZING,
        summary="normalizer-free, bottleneck blocks, stages of 2 2 2 2, a quarter of the width, "
        "small stem",
        expectation=_LADDER,
        input_size=(3, 32, 32),
        parameters=882_402,
    ),
    Reference(
        name="nf_resnet26",
        family="NF-ResNet",
        build="sppkit.models.nf_resnet:nf_resnet26",
        paper=_CHARACTERIZING,
        summary="normalizer-free, bottleneck blocks, stages of 2 2 2 2",
        expectation=_LADDER,
        input_size=(3, 128, 128),
        parameters=15_995_184,
    ),
    Reference(
        name="nf_resnet50",
        family="NF-ResNet",
        build="sppkit.models.nf_resnet:nf_resnet50",
        paper=_CHARACTERIZING,
        summary="normalizer-free, bottleneck blocks, stages of 3 4 6 3",
        expectation=_LADDER,
        input_size=(3, 128, 128),
        parameters=25_557_048,
    ),
)
