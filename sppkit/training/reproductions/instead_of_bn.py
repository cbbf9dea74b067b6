"""Weight normalisation, clipping and dropout against batch normalisation."""

from collections.abc import Mapping

from sppkit.training.recipes import Clipping, Recipe
from sppkit.training.reproduction import Arm, Form, Quantity, Reproduction
from sppkit.training.reproductions.common import CIFAR_10, adaptive_clipping, small

_GAUR = (
    "Training deep neural networks without batch normalization, Gaur, Folz, Dengel, 2020, "
    "arXiv 2008.07970"
)


def _arms_against_bn(target: str, *, adaptive: float, **size: object) -> tuple[Arm, ...]:
    batch, none, weight = ({**size, "norm": norm} for norm in ("batch", "none", "weight"))
    drop = {"dropout": 0.1}
    value: Mapping[str, object] = {"clipping": Clipping(method="value", limit=0.05)}
    norm: Mapping[str, object] = {"clipping": Clipping(method="norm", limit=1.0)}
    clipped = adaptive_clipping(adaptive, "classifier.*")
    return (
        Arm(name="bn", target=target, arguments=batch),
        Arm(name="bn dropout", target=target, arguments={**batch, **drop}),
        Arm(name="none", target=target, arguments=none),
        Arm(name="dropout", target=target, arguments={**none, **drop}),
        Arm(name="clip value", target=target, arguments=none, changes=value),
        Arm(name="clip norm", target=target, arguments=none, changes=norm),
        Arm(name="agc", target=target, arguments=none, changes=clipped),
        Arm(name="wn", target=target, arguments=weight),
        Arm(name="wn clip norm", target=target, arguments=weight, changes=norm),
        Arm(name="wn clip norm dropout", target=target, arguments={**weight, **drop}, changes=norm),
    )


_AGAINST_BN = Recipe(
    name="instead_of_bn",
    reference="gaur_cnn",
    paper=f"{_GAUR}; its settings are not public, these are ours",
    dataset="CIFAR-10",
    batch_size=128,
    epochs=50,
    learning_rate=0.05,
    rate_scales_with_batch=False,
    schedule="constant",
    augmentation="random crops and flips",
)

INSTEAD_OF_BN = Reproduction(
    name="instead_of_bn",
    summary="weight normalisation, clipping and dropout against batch normalisation",
    paper=_GAUR,
    place="abstract; networks, settings and numbers are not public",
    found=(
        "The paper studies batch normalisation against weight normalisation, gradient clipping "
        "and dropout, and asks whether networks can be trained without it by adapting the "
        "training. Only that much is certain to us: no code and no settings are public. So this "
        "is the paper's question with networks and settings of ours."
    ),
    look_at=(
        "Which arms reach the accuracy of 'bn', and how far seeds lie apart: whether 'none' trains "
        "depends on the seed, and clipping or weight normalisation are to end that. Dropout takes "
        "from a network this small. The variance of the convolutions over training says which "
        "arms hold their signal."
    ),
    quantities=(
        Quantity(
            title="variance of layers",
            signal="activation",
            statistic="average_channel_variance",
            layers=("features.*.conv",),
        ),
        Quantity(
            title="gradient / weight",
            signal="weight gradient",
            tensor="weight",
            statistic="maximum_unit_wise_norm_to_weight_ratio",
            layers=("features.*.conv",),
            over="largest",
        ),
    ),
    small=Form(
        arms=_arms_against_bn("ref:gaur_cnn_digits", adaptive=0.05),
        data="digits",
        size=(1, 16, 16),
        recipe=small(_AGAINST_BN, batch_size=50, epochs=4),
        seeds=2,
        differs="6 narrow convolutions (-k layers_per_stage=6: 18), 16 x 16 digits, 4 epochs.",
    ),
    full=Form(
        arms=_arms_against_bn("ref:gaur_cnn", adaptive=0.05, width=64, layers_per_stage=4),
        data=CIFAR_10,
        size=(3, 32, 32),
        recipe=_AGAINST_BN,
        seeds=3,
        augmentation="crop-flip",
        differs="12 convolutions of 64 to 256 channels, CIFAR-10, 50 epochs; the paper's are "
        "not known.",
    ),
)
