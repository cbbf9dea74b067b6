"""EUNNet against ResNet and RescaleNet at the settings of batch-normalised networks."""

from sppkit.training.recipes import find_recipe
from sppkit.training.reproduction import Arm, Form, Quantity, Reproduction
from sppkit.training.reproductions.common import IMAGENET, small

_EUNNET = (
    "EUNNet: Efficient un-normalized convolution layer for stable training of deep residual "
    "networks without batch normalization layer, Nguyen, Choi, Yang, 2023, IEEE Access 10041931"
)


_AT_MERGES = ("re:^stages[.][0-9]+[.][0-9]+[.]relu$",)

EUNNET_BN_SETTINGS = Reproduction(
    name="eunnet_bn_settings",
    summary="EUNNet against ResNet and RescaleNet at the settings of batch-normalised networks",
    paper=_EUNNET,
    place="abstract; the training script's defaults",
    found=(
        "Convolutions that standardise their whole input train deep residual networks without "
        "batch normalisation, at the rates, decay and schedule of batch-normalised networks "
        "unchanged, to an accuracy that is equal or better; the authors watched the share of "
        "blocks' activations that are not zero."
    ),
    look_at=(
        "Whether 'eunnet' trains as well as 'resnet' at the published rate (the smallest one in "
        "the small form) and above it, and which networks a rate is too high for. The share of "
        "zeros at the blocks' ends, a half at the first block of a stage and less behind it in "
        "an EUNNet at initialisation."
    ),
    quantities=(
        Quantity(
            title="variance of blocks",
            signal="activation",
            statistic="average_channel_variance",
            layers=_AT_MERGES,
            over="largest",
        ),
        Quantity(
            title="zeros at blocks",
            signal="activation",
            statistic="zero_fraction",
            layers=_AT_MERGES,
        ),
    ),
    small=Form(
        arms=(
            Arm(
                name="resnet",
                target="ref:resnet_digits",
                arguments={"variant": "26-cifar", "width": 8},
            ),
            Arm(name="eunnet", target="ref:eunnet26_digits"),
            Arm(name="rescalenet", target="ref:rescalenet26_digits"),
        ),
        data="digits",
        size=(1, 8, 8),
        recipe=small("eunnet50", batch_size=32, epochs=12, learning_rate=0.0125),
        learning_rates=(0.0125, 0.05, 0.2),
        differs=(
            "8 bottleneck blocks on 8 x 8 digits, 12 epochs; 0.0125 is the published rate of 0.1 "
            "per 256 samples for batches of 32, the others are 4 and 16 times as large."
        ),
    ),
    full=Form(
        arms=(
            Arm(name="resnet", target="ref:resnet50"),
            Arm(
                name="eunnet",
                target="ref:eunnet50",
                arguments=find_recipe("eunnet50").model_arguments,
            ),
            Arm(
                name="rescalenet",
                target="ref:rescalenet50",
                arguments=find_recipe("rescalenet50").model_arguments,
            ),
        ),
        data=IMAGENET,
        size=(3, 224, 224),
        recipe=find_recipe("eunnet50"),
        augmentation="crop-flip",
        differs="Pictures are cut to their middle before they are cropped and flipped.",
    ),
)
