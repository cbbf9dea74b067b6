"""NF-ResNet with and without adaptive gradient clipping against BN at growing batches."""

from sppkit.training.recipes import Recipe
from sppkit.training.reproduction import Arm, Form, Quantity, Reproduction
from sppkit.training.reproductions.common import IMAGENET, adaptive_clipping, small

_NFNET = (
    "High-performance large-scale image recognition without normalization, Brock, De, Smith, "
    "Simonyan, 2021, arXiv 2102.06171"
)


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
    clipped = adaptive_clipping(limit, "head.classifier.weight")
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
        recipe=small(
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
        data=IMAGENET,
        size=(3, 224, 224),
        recipe=_LARGE_BATCHES,
        batch_sizes=(256, 1024, 4096),
        augmentation="crop-flip",
        differs="Pictures are cut to their middle before they are cropped and flipped.",
    ),
)
