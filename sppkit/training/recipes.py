"""The published settings that the reference networks were trained with, as a table without torch.

What is not known stands as None. Accuracy is context, never a test. `sppkit.training.optimizers`
makes an optimiser, a schedule and a clipping of a recipe.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

OptimizerName = Literal["sgd", "adam", "adamw"]
ScheduleName = Literal["constant", "cosine", "steps", "linear"]


@dataclass(frozen=True, kw_only=True)
class Clipping:
    """How gradients are clipped.

    Attributes:
        method: "adaptive", "value" or "norm".
        limit: lambda, largest value or largest norm.
        exclude: patterns of parameters that are left alone, in our networks' names.
    """

    method: Literal["adaptive", "value", "norm"]
    limit: float
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ParameterRule:
    """What is different for some parameters: see `sppkit.training.GroupRule`."""

    patterns: tuple[str, ...]
    rate_factor: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network was trained.

    Attributes:
        name: of the recipe; that of the reference network where there is one recipe for it.
        reference: name of the bundled network.
        model_arguments: what that is built with for training.
        paper: title, authors, year, arXiv number, and where the numbers are from.
        dataset: what it was trained on.
        batch_size: images per step.
        epochs: passes over the data.
        optimizer: "sgd", "adam" or "adamw" (decoupled weight decay).
        learning_rate: at its highest, for `batch_size` images.
        rate_scales_with_batch: whether the rate is proportional to the batch size.
        momentum: of SGD, or beta_1 of Adam.
        nesterov: whether SGD's momentum is Nesterov's.
        weight_decay: of all parameters that no rule names.
        rules: what is different for some parameters.
        schedule: "constant"; "cosine" to `lowest_rate`; "steps", times `step_factor` at each of
            `milestones`; "linear", to 0 in the last epoch.
        warmup_epochs: during which the rate grows from 0 linearly; part of `epochs`.
        lowest_rate: where the cosine ends.
        milestones: epochs at which the rate drops.
        step_factor: by which it drops.
        label_smoothing: share of the target that is spread over all classes.
        averaging_decay: of the exponential moving average of the weights; None is none.
        clipping: how gradients are clipped; None is not at all.
        training_side: of the images, in pixels.
        augmentation: in words.
        remark: what a reader must know.
    """

    name: str
    reference: str
    paper: str
    dataset: str
    batch_size: int
    epochs: int
    learning_rate: float
    model_arguments: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    optimizer: OptimizerName = "sgd"
    rate_scales_with_batch: bool = True
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    rules: tuple[ParameterRule, ...] = ()
    schedule: ScheduleName = "cosine"
    warmup_epochs: float = 0.0
    lowest_rate: float = 0.0
    milestones: tuple[int, ...] = ()
    step_factor: float = 0.1
    label_smoothing: float = 0.0
    averaging_decay: float | None = None
    clipping: Clipping | None = None
    training_side: int | None = None
    augmentation: str = ""
    remark: str = ""


_NFNET = (
    "High-performance large-scale image recognition without normalization, Brock, De, Smith, "
    "Simonyan, 2021, arXiv 2102.06171; deepmind-research/nfnets/experiment_nfnets.py"
)
_NF_REGNET = (
    "Characterizing signal propagation to close the performance gap in unnormalized ResNets, "
    "Brock, De, Smith, 2021, arXiv 2101.08692; "
    "deepmind-research/nfnets/experiment_nf_regnets.py"
)
_FIXUP = (
    "Fixup initialization, Zhang, Dauphin, Ma, 2019, arXiv 1901.09321; rates of scales and biases "
    "as in hongyi-zhang/Fixup"
)
_GOYAL = (
    "Accurate, large minibatch SGD: training ImageNet in 1 hour, Goyal et al., 2017, "
    "arXiv 1706.02677, section 5.1"
)

_EUNNET = (
    "EUNNet, Nguyen, Choi, Yang, 2023, IEEE Access, document 10041931; beandkay/EUNNet/imagenet.py"
)
_RESCALENET = (
    "Is normalization indispensable for training deep neural networks?, Shao, Hu, Wang, Xue, Raj, "
    "2020, NeurIPS; hukkai/rescaling/imagenet.py"
)
_BNN = (
    "'BNN - BN = ?', Chen et al., 2021, arXiv 2104.08215; VITA-Group/BNN_NoBN/script and train.py"
)
_THESIS = "Designing Normalizer-Free EfficientNets, Dewyse, 2025, JKU Linz"

NO_DECAY_ON_GAINS_AND_BIASES = ParameterRule(patterns=("re:(gain|bias)$",), weight_decay=0.0)
CLASSIFIER_WEIGHT = "head.classifier.weight"


def _nfnet(variant: str, *, side: int, dropout: float, augmentation: str) -> Recipe:
    return Recipe(
        name=f"nfnet_{variant}",
        reference=f"nfnet_{variant}",
        model_arguments={"dropout": dropout, "stochastic_depth": 0.25},
        paper=_NFNET,
        dataset="ImageNet",
        batch_size=4096,
        epochs=360,
        learning_rate=1.6,
        nesterov=True,
        weight_decay=2e-5,
        rules=(NO_DECAY_ON_GAINS_AND_BIASES,),
        warmup_epochs=5,
        label_smoothing=0.1,
        averaging_decay=0.99999,
        clipping=Clipping(method="adaptive", limit=0.01, exclude=(CLASSIFIER_WEIGHT,)),
        training_side=side,
        augmentation=f"CutMix, MixUp, {augmentation}",
        remark="bfloat16; the rate is 0.1 per 256 images",
    )


def _nf_regnet(level: int, side: int, dropout: float) -> Recipe:
    return Recipe(
        name=f"nf_regnet_b{level}",
        reference=f"nf_regnet_b{level}",
        model_arguments={"dropout": dropout, "stochastic_depth": 0.1},
        paper=_NF_REGNET,
        dataset="ImageNet",
        batch_size=1024,
        epochs=360,
        learning_rate=0.4,
        rate_scales_with_batch=False,
        nesterov=True,
        weight_decay=(5 + level) * 1e-5,
        rules=(NO_DECAY_ON_GAINS_AND_BIASES,),
        warmup_epochs=5,
        lowest_rate=0.001,
        label_smoothing=0.1,
        averaging_decay=0.99999,
        training_side=side,
        augmentation="CutMix, MixUp",
        remark="no clipping",
    )


def _rescaled(reference: str, paper: str, *, with_mixup: bool) -> Recipe:
    rates = (0.0, 0.0) if with_mixup else (0.03, 0.3)
    return Recipe(
        name=f"{reference}_mixup" if with_mixup else reference,
        reference=reference,
        model_arguments={"convolution_dropout": rates[0], "classifier_dropout": rates[1]},
        paper=paper,
        dataset="ImageNet",
        batch_size=1024,
        epochs=105,
        learning_rate=0.4,
        weight_decay=1e-4,
        schedule="steps",
        warmup_epochs=5,
        milestones=(35, 65, 95),
        training_side=224,
        augmentation="random crops, flips, MixUp 0.7" if with_mixup else "random crops, flips",
        remark="decay on everything; the settings of networks with batch normalisation, unchanged",
    )


def _binary(reference: str, *, stage: int) -> Recipe:
    binary = "activations" if stage == 1 else "all"
    decayed = ParameterRule(patterns=("re:conv\\.weight$",), weight_decay=1e-5)
    return Recipe(
        name=f"{reference}_stage{stage}",
        reference=reference,
        model_arguments={"binary": binary},
        paper=_BNN,
        dataset="ImageNet",
        batch_size=256,
        epochs=256,
        optimizer="adam",
        learning_rate=5e-4,
        rate_scales_with_batch=False,
        rules=(decayed,) if stage == 1 else (),
        schedule="linear",
        clipping=Clipping(method="adaptive", limit=0.02, exclude=("head.classifier.*",)),
        training_side=224,
        augmentation="random crops (0.08 to 1), flips, lighting 0.1",
        remark="distilled from NFNet-F0 (sppkit.training.distillation), no other loss; "
        + ("real weights" if stage == 1 else "starts from stage 1 (sppkit.training.two_stages)"),
    )


def _thesis(reference: str) -> Recipe:
    return Recipe(
        name=f"{reference}_thesis",
        reference=reference,
        paper=_THESIS,
        dataset="CIFAR-100",
        batch_size=512,
        epochs=20,
        optimizer="adam",
        learning_rate=1e-3,
        rate_scales_with_batch=False,
        schedule="constant",
        training_side=32,
        augmentation="random crops (padding 4), flips",
        remark="40,000 of the images; rates of 0.1, 0.01 and 0.001 were compared, over 5 seeds",
    )


RECIPES: tuple[Recipe, ...] = (
    _nfnet("f0", side=192, dropout=0.2, augmentation="RandAugment 4 of magnitude 5"),
    _nfnet("f1", side=224, dropout=0.3, augmentation="RandAugment 4 of magnitude 10"),
    _nfnet("f2", side=256, dropout=0.4, augmentation="RandAugment 4 of magnitude 10"),
    _nfnet("f3", side=320, dropout=0.4, augmentation="RandAugment 4 of magnitude 15"),
    _nfnet("f4", side=384, dropout=0.5, augmentation="RandAugment 4 of magnitude 15"),
    _nfnet("f5", side=416, dropout=0.5, augmentation="RandAugment 4 of magnitude 15"),
    _nfnet("f6", side=448, dropout=0.5, augmentation="RandAugment 4 of magnitude 15"),
    _nf_regnet(0, 192, 0.2),
    _nf_regnet(1, 224, 0.2),
    _nf_regnet(2, 240, 0.3),
    _nf_regnet(3, 288, 0.3),
    _nf_regnet(4, 320, 0.4),
    _nf_regnet(5, 384, 0.4),
    Recipe(
        name="resnet50",
        reference="resnet50",
        paper=_GOYAL,
        dataset="ImageNet",
        batch_size=256,
        epochs=90,
        learning_rate=0.1,
        weight_decay=1e-4,
        schedule="steps",
        milestones=(30, 60, 80),
        training_side=224,
        augmentation="random crops and flips",
        remark="warm-up of 5 epochs for batches of more than 256 images",
    ),
    Recipe(
        name="fixup_resnet50",
        reference="fixup_resnet50",
        paper=_FIXUP,
        dataset="ImageNet",
        batch_size=256,
        epochs=100,
        learning_rate=0.1,
        weight_decay=1e-4,
        rules=(ParameterRule(patterns=("re:(bias[^.]*|scale)\\.(bias|scale)$",), rate_factor=0.1),),
        schedule="steps",
        milestones=(30, 60, 90),
        training_side=224,
        augmentation="random crops, flips, MixUp 0.7",
        remark="as trained beside EUNNets; scales and biases at a tenth of the rate",
    ),
    _rescaled("eunnet50", _EUNNET, with_mixup=False),
    _rescaled("eunnet50", _EUNNET, with_mixup=True),
    _rescaled("rescalenet50", _RESCALENET, with_mixup=False),
    _binary("reactnet_a_bf", stage=1),
    _binary("reactnet_a_bf", stage=2),
    _binary("reactnet18_bf", stage=1),
    _binary("reactnet18_bf", stage=2),
    *(_thesis(name) for name in ("ffnn", "ffnn_bn", "cnn", "cnn_bn")),
    *(_thesis(f"efficientnet_b0_{name}") for name in ("bn", "none", "sn", "sn_mp", "un")),
)


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        ValueError: no such recipe; the message names the nearest and lists all.
    """
    recipes = {recipe.name: recipe for recipe in RECIPES}
    if name in recipes:
        return recipes[name]
    near = difflib.get_close_matches(name, recipes, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"no recipe is called {name!r}{hint}; there are: {', '.join(recipes)}")
