"""Ten linear layers: batch normalisation with learned gains against fixed ones."""

from sppkit.training.recipes import find_recipe
from sppkit.training.reproduction import Arm, Form, Quantity, Reproduction
from sppkit.training.reproductions.common import CIFAR_100, small

_THESIS = "Designing Normalizer-Free EfficientNets, Dewyse, 2025, JKU Linz"
_RATES = (0.1, 0.01, 0.001)


def _feed_forward_arms(*, narrow: int, **size: object) -> tuple[Arm, ...]:
    return (
        Arm(name="none", target="ref:ffnn", arguments=size),
        Arm(name="affine", target="ref:ffnn_bn", arguments=size),
        Arm(name="fixed", target="ref:ffnn_bn_fixed", arguments=size),
        Arm(
            name=f"fixed width {narrow}",
            target="ref:ffnn_bn_fixed",
            arguments={**size, "width": narrow},
        ),
    )


_HIDDEN = ("hidden.*.linear",)

BN_AFFINE_FFNN = Reproduction(
    name="bn_affine_ffnn",
    summary="ten linear layers: batch normalisation with learned gains against fixed ones",
    paper=_THESIS,
    place="Table 3; Figures 14 to 19",
    found=(
        "With learned gains batch normalisation trains a ten-layer ReLU network that does not "
        "train without it at rates of 0.01 and 0.1, and better than without it at 0.001 (23.9 "
        "against 19.5 %). With gains fixed at 1 most of that is lost (18.4 %), and gradients "
        "stay ten times as large as with learned ones late in training, from which the thesis "
        "concludes that the gains scale the gradients. Its networks with learned gains were 512 "
        "units wide, though, and those with fixed ones 100."
    ),
    look_at=(
        "Compare 'affine' with 'fixed' at equal width, and then 'fixed' with the narrow one, "
        "which is the published comparison: what the second pair shows is due to the width. The "
        "gradient's ratio of first to last hidden layer says whether gradients vanish towards "
        "the input."
    ),
    quantities=(
        Quantity(
            title="gradient",
            signal="gradient",
            statistic="second_moment",
            layers=_HIDDEN,
        ),
        Quantity(
            title="gradient first / last",
            signal="gradient",
            statistic="second_moment",
            layers=_HIDDEN,
            over="first / last",
        ),
        Quantity(
            title="gain",
            signal="weight",
            tensor="weight",
            statistic="second_moment",
            layers=("hidden.*.norm",),
        ),
    ),
    small=Form(
        arms=_feed_forward_arms(narrow=25, width=128, in_features=64),
        data="digits",
        size=(1, 8, 8),
        recipe=small("ffnn_thesis", batch_size=64),
        learning_rates=_RATES,
        seeds=2,
        differs="8 x 8 digits, 128 units (25 in the narrow network), batches of 64, two seeds.",
    ),
    full=Form(
        arms=_feed_forward_arms(narrow=100),
        data=CIFAR_100,
        size=(3, 32, 32),
        recipe=find_recipe("ffnn_thesis"),
        learning_rates=_RATES,
        seeds=5,
        augmentation="crop-flip",
        hold_out=0.2,
        differs="Evaluated on the 10,000 pictures held out of the training ones.",
    ),
)
