"""Binary ReActNet with batch normalisation, batch-free, and with neither."""

from sppkit.training.recipes import find_recipe
from sppkit.training.reproduction import Arm, Form, Quantity, Reproduction
from sppkit.training.reproductions.common import CIFAR_100, small

_BNN = (
    "'BNN - BN = ?': Training binary neural networks without batch normalization, Chen et al., "
    "2021, arXiv 2104.08215"
)


def _binary_arms(target: str, **arguments: object) -> tuple[Arm, ...]:
    return tuple(
        Arm(name=norm, target=target, arguments={**arguments, "norm": norm})
        for norm in ("bn", "bf", "none")
    )


BINARY_WITHOUT_BN = Reproduction(
    name="binary_without_bn",
    summary="binary ReActNet with batch normalisation, batch-free, and with neither",
    paper=_BNN,
    place="abstract, and the comparison of accuracies on ImageNet",
    found=(
        "A binary ReActNet-A loses half of its accuracy on ImageNet when batch normalisation is "
        "taken out (69.4 to 34.1 %), and gets it back with scaled weight standardisation, scaled "
        "residual branches and adaptive gradient clipping (68.0 %). ReActNet-18 batch-free "
        "reaches 92.08 % on CIFAR-10 and 68.34 % on CIFAR-100, at most 0.44 below batch "
        "normalisation."
    ),
    look_at=(
        "The accuracies of 'bf' and 'none' against 'bn', and the variance at the layers' ends, "
        "which grows along the skip paths of 'bn' and 'none' and is held down in 'bf' by its "
        "scaled branches."
    ),
    quantities=(
        Quantity(
            title="variance of layers",
            signal="activation",
            statistic="average_channel_variance",
            layers=("re:^stages[.][0-9]+[.][0-9]+$",),
            over="largest",
        ),
        Quantity(
            title="gradient first / last",
            signal="gradient",
            statistic="second_moment",
            layers=("stages.*.branch.conv",),
            over="first / last",
        ),
    ),
    small=Form(
        arms=_binary_arms("ref:reactnet18_digits", initial_weights="positive"),
        data="digits",
        size=(1, 8, 8),
        recipe=small("reactnet18_bf_stage2", batch_size=32, epochs=10, learning_rate=2e-3),
        differs=(
            "A quarter of the width, a small stem, 8 x 8 digits, 10 epochs at 0.002; no teacher "
            "and no first stage with real weights."
        ),
    ),
    full=Form(
        arms=_binary_arms("ref:reactnet18_bf"),
        data=CIFAR_100,
        size=(3, 32, 32),
        recipe=find_recipe("reactnet18_bf_stage2"),
        augmentation="crop-flip",
        differs=(
            "No teacher and no first stage with real weights (sppkit.training.distillation and "
            "two_stages have both)."
        ),
    ),
)
