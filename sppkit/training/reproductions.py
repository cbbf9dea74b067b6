"""The experiments of the papers on training without batch normalisation, as presets: one table.

Each has a small form on scikit-learn's digits, which finishes on two CPU cores within minutes, and
the published one for a GPU. What the small forms gave is in docs/reproductions.md.
"""

import difflib
from collections.abc import Mapping
from dataclasses import replace

from sppkit.training.choices import change
from sppkit.training.recipes import Clipping, Recipe, find_recipe
from sppkit.training.reproduction import Arm, Form, Quantity, Reproduction

_THESIS = "Designing Normalizer-Free EfficientNets, Dewyse, 2025, JKU Linz"
_NFNET = (
    "High-performance large-scale image recognition without normalization, Brock, De, Smith, "
    "Simonyan, 2021, arXiv 2102.06171"
)
_EUNNET = (
    "EUNNet: Efficient un-normalized convolution layer for stable training of deep residual "
    "networks without batch normalization layer, Nguyen, Choi, Yang, 2023, IEEE Access 10041931"
)
_BNN = "'BNN - BN = ?': Training binary neural networks without batch normalization, Chen et al., "
_BNN += "2021, arXiv 2104.08215"
_GAUR = (
    "Training deep neural networks without batch normalization, Gaur, Folz, Dengel, 2020, "
    "arXiv 2008.07970"
)

_CIFAR_100, _CIFAR_10 = "hf:uoft-cs/cifar100", "hf:uoft-cs/cifar10"
_IMAGENET = "hf:ILSVRC/imagenet-1k"
_RATES = (0.1, 0.01, 0.001)


def _small(recipe: str | Recipe, *, batch_size: int, **changes: object) -> Recipe:
    """Take a published recipe for batches that digits can fill."""
    found = find_recipe(recipe) if isinstance(recipe, str) else recipe
    return replace(change(found, **changes), batch_size=batch_size)


def _agc(limit: float, *exclude: str) -> Mapping[str, object]:
    return {"clipping": Clipping(method="adaptive", limit=limit, exclude=exclude)}


# ------------------------------------------------------------------------- Dewyse, feed-forward


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
        recipe=_small("ffnn_thesis", batch_size=64),
        learning_rates=_RATES,
        seeds=2,
        differs="8 x 8 digits, 128 units (25 in the narrow network), batches of 64, two seeds.",
    ),
    full=Form(
        arms=_feed_forward_arms(narrow=100),
        data=_CIFAR_100,
        size=(3, 32, 32),
        recipe=find_recipe("ffnn_thesis"),
        learning_rates=_RATES,
        seeds=5,
        augmentation="crop-flip",
        hold_out=0.2,
        differs="Evaluated on the 10,000 pictures held out of the training ones.",
    ),
)

# --------------------------------------------------------------------- Dewyse, EfficientNet


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
        recipe=_small("efficientnet_b0_bn_thesis", batch_size=32, epochs=10),
        learning_rates=(0.01, 0.001),
        differs="7 blocks instead of 16, 16 x 16 digits, 10 epochs, one seed.",
    ),
    full=Form(
        arms=_efficientnet_arms("ref:efficientnet_b0_bn"),
        data=_CIFAR_100,
        size=(3, 32, 32),
        recipe=find_recipe("efficientnet_b0_bn_thesis"),
        learning_rates=_RATES,
        seeds=5,
        augmentation="crop-flip",
        hold_out=0.2,
        differs="Evaluated on the 10,000 pictures held out of the training ones; no dropout.",
    ),
)

# ------------------------------------------------------------------------ Brock et al., batches

_LARGE_BATCHES = Recipe(
    name="nf_batch_size",
    reference="nf_resnet50",
    paper=f"{_NFNET}, section 4.1",
    dataset="ImageNet",
    batch_size=256,
    epochs=90,
    learning_rate=0.1,
    nesterov=True,
    weight_decay=5e-5,
    warmup_epochs=5,
    training_side=224,
    augmentation="random crops and flips",
)


def _batch_arms(bn: str, nf: str, limit: float, **arguments: object) -> tuple[Arm, ...]:
    clipped = _agc(limit, "head.classifier.weight")
    return (
        Arm(name="bn", target=bn, arguments=arguments),
        Arm(name="nf", target=nf, arguments=arguments),
        Arm(name="nf agc", target=nf, arguments=arguments, changes=clipped),
    )


NF_BATCH_SIZE = Reproduction(
    name="nf_batch_size",
    summary="NF-ResNet with and without adaptive gradient clipping against BN at growing batches",
    paper=_NFNET,
    place="section 4.1, Figure 2 (a)",
    found=(
        "With rates proportional to the batch size, NF-ResNets keep up with batch-normalised "
        "ResNets at small batches and fall behind or become unstable at large ones. Adaptive "
        "gradient clipping takes them to batches of 4096 with the accuracy of batch "
        "normalisation; at small batches it changes little."
    ),
    look_at=(
        "How the accuracy falls with the batch size, with 'nf agc' between 'nf' and 'bn' or "
        "above; the largest ratio of a unit's gradient to its weight, which is what the clipping "
        "looks at; and the clipped_fraction in metrics.parquet."
    ),
    quantities=(
        Quantity(
            title="gradient / weight",
            signal="weight gradient",
            tensor="weight",
            statistic="maximum_unit_wise_norm_to_weight_ratio",
            layers=("stem.conv", "stages.*.conv*", "stages.*.shortcut"),
            over="largest",
        ),
        Quantity(
            title="variance of blocks",
            signal="activation",
            statistic="average_channel_variance",
            layers=("re:^stages[.][0-9]+[.][0-9]+$",),
            over="largest",
        ),
    ),
    small=Form(
        arms=_batch_arms(
            "ref:bn_resnet_digits", "ref:nf_resnet_digits", 0.1, variant="20", width=8
        ),
        data="digits",
        size=(1, 8, 8),
        recipe=_small(
            _LARGE_BATCHES,
            batch_size=32,
            epochs=20,
            learning_rate=0.1,
            rate_scales_with_batch=True,
        ),
        batch_sizes=(32, 128, 256),
        differs=(
            "ResNets of 20 layers on 8 x 8 digits, 20 epochs, a clipping of 0.1; a rate of 0.1 "
            "per 32 samples."
        ),
    ),
    full=Form(
        arms=_batch_arms("ref:bn_resnet50", "ref:nf_resnet50", 0.01),
        data=_IMAGENET,
        size=(3, 224, 224),
        recipe=_LARGE_BATCHES,
        batch_sizes=(256, 1024, 4096),
        augmentation="crop-flip",
        differs="Pictures are cut to their middle before they are cropped and flipped.",
    ),
)

# --------------------------------------------------------------------------- Nguyen et al.


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
        recipe=_small("eunnet50", batch_size=32, epochs=12, learning_rate=0.0125),
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
        data=_IMAGENET,
        size=(3, 224, 224),
        recipe=find_recipe("eunnet50"),
        augmentation="crop-flip",
        differs="Pictures are cut to their middle before they are cropped and flipped.",
    ),
)

# ------------------------------------------------------------------------------- Chen et al.


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
        recipe=_small("reactnet18_bf_stage2", batch_size=32, epochs=10, learning_rate=2e-3),
        differs=(
            "A quarter of the width, a small stem, 8 x 8 digits, 10 epochs at 0.002; no teacher "
            "and no first stage with real weights."
        ),
    ),
    full=Form(
        arms=_binary_arms("ref:reactnet18_bf"),
        data=_CIFAR_100,
        size=(3, 32, 32),
        recipe=find_recipe("reactnet18_bf_stage2"),
        augmentation="crop-flip",
        differs=(
            "No teacher and no first stage with real weights (sppkit.training.distillation and "
            "two_stages have both)."
        ),
    ),
)

# ------------------------------------------------------------------------------- Gaur et al.


def _arms_against_bn(target: str, *, adaptive: float, **size: object) -> tuple[Arm, ...]:
    batch, none, weight = ({**size, "norm": norm} for norm in ("batch", "none", "weight"))
    drop = {"dropout": 0.1}
    value: Mapping[str, object] = {"clipping": Clipping(method="value", limit=0.05)}
    norm: Mapping[str, object] = {"clipping": Clipping(method="norm", limit=1.0)}
    clipped = _agc(adaptive, "classifier.*")
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
        recipe=_small(_AGAINST_BN, batch_size=50, epochs=4),
        seeds=2,
        differs="6 narrow convolutions (-k layers_per_stage=6: 18), 16 x 16 digits, 4 epochs.",
    ),
    full=Form(
        arms=_arms_against_bn("ref:gaur_cnn", adaptive=0.05, width=64, layers_per_stage=4),
        data=_CIFAR_10,
        size=(3, 32, 32),
        recipe=_AGAINST_BN,
        seeds=3,
        augmentation="crop-flip",
        differs="12 convolutions of 64 to 256 channels, CIFAR-10, 50 epochs; the paper's are "
        "not known.",
    ),
)

REPRODUCTIONS: tuple[Reproduction, ...] = (
    BN_AFFINE_FFNN,
    SELU_EFFICIENTNET,
    NF_BATCH_SIZE,
    EUNNET_BN_SETTINGS,
    BINARY_WITHOUT_BN,
    INSTEAD_OF_BN,
)


def find_reproduction(name: str | None) -> Reproduction | None:
    """Return the reproduction of that name; None where it is the name of none."""
    return next((each for each in REPRODUCTIONS if each.name == name), None)


def nearest_reproduction(name: str) -> str | None:
    """Return the name of a reproduction that is almost this one.

    >>> nearest_reproduction("eunet_bn_settings")
    'eunnet_bn_settings'
    """
    near = difflib.get_close_matches(name, [each.name for each in REPRODUCTIONS], n=1)
    return near[0] if near else None
