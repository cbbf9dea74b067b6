"""EfficientNet with batch normalisation, with nothing, and with SELU."""

from sppkit.training.recipes import find_recipe
from sppkit.training.reproduction import Arm, Form, Quantity, Reproduction
from sppkit.training.reproductions.common import CIFAR_100, small

_THESIS = "Designing Normalizer-Free EfficientNets, Dewyse, 2025, JKU Linz"
_RATES = (0.1, 0.01, 0.001)


def _efficientnet_arms(target: str, **arguments: object) -> tuple[Arm, ...]:
    return tuple(
        Arm(name=name, target=target, arguments={**arguments, "variant": variant})
        for name, variant in (("bn", "bn"), ("none", "none"), ("selu", "sn"))
    )


SELU_EFFICIENTNET = Reproduction(
    name="selu_efficientnet",
    summary="EfficientNet with batch normalisation, with nothing, and with SELU",
    paper=_THESIS,
    place="Table 4, and the signal propagation of EfficientNets",
    found=(
        "EfficientNet-B0 on CIFAR-100 reaches 33.5 % with batch normalisation and 30.0 % with "
        "SELU and LeCun weights at a rate of 0.001; without normalisation it does not train. At "
        "0.01 only the batch-normalised one trains, at 0.1 none. In the SELU network channel "
        "means stay near zero but in squeeze-and-excite, where squared means jump up to 47: the "
        "signal fluctuates there and nowhere else."
    ),
    look_at=(
        "The squared means of squeeze-and-excite's convolutions against those of all others, in "
        "'selu' most of all; over-training.png of each run shows them layer by layer. Without "
        "normalisation the gradient tells whether the network is alive."
    ),
    quantities=(
        Quantity(
            title="squeeze mean²",
            signal="activation",
            statistic="average_channel_squared_mean",
            layers=("*.squeeze_excite.reduce", "*.squeeze_excite.expand"),
            over="largest",
        ),
        Quantity(
            title="other mean²",
            signal="activation",
            statistic="average_channel_squared_mean",
            layers=("*.conv",),
            over="largest",
        ),
        Quantity(
            title="gradient",
            signal="gradient",
            statistic="second_moment",
            layers=("*.conv",),
        ),
    ),
    small=Form(
        arms=_efficientnet_arms("ref:efficientnet_digits"),
        data="digits",
        size=(1, 16, 16),
        recipe=small("efficientnet_b0_bn_thesis", batch_size=32, epochs=10),
        learning_rates=(0.01, 0.001),
        differs="7 blocks instead of 16, 16 x 16 digits, 10 epochs, one seed.",
    ),
    full=Form(
        arms=_efficientnet_arms("ref:efficientnet_b0_bn"),
        data=CIFAR_100,
        size=(3, 32, 32),
        recipe=find_recipe("efficientnet_b0_bn_thesis"),
        learning_rates=_RATES,
        seeds=5,
        augmentation="crop-flip",
        hold_out=0.2,
        differs="Evaluated on the 10,000 pictures held out of the training ones; no dropout.",
    ),
)
