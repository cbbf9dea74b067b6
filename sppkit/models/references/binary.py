"""Networks of binary weights and activations, with and without batch normalisation."""

from sppkit.models.references.reference import Reference, variant_of

_BNN = (
    "'BNN - BN = ?': Training binary neural networks without batch normalization, Chen, Zhang, "
    "Ouyang, Liu, Shen, Wang, 2021, arXiv 2104.08215"
)

_REAL_WEIGHTS = {"binary": "activations"}
_SMALL_18 = {"initial_weights": "fan_in", "width": 16, "large_stem": False, "classes": 10}
_SMALL_A = {
    "initial_weights": "fan_in",
    "width": 16,
    "channels": (2, 4, 4, 8, 8),
    "stem_stride": 1,
    "classes": 10,
}

_REACTNET18_BF = Reference(
    name="reactnet18_bf",
    family="ReActNet",
    build="sppkit.models.reactnet:reactnet18",
    arguments={"norm": "bf"},
    paper=_BNN,
    summary="ReActNet-18, binary weights and activations, batch-free",
    expectation="variance 0.4 in the first stage; white noise averaged away by each pooling",
    input_size=(3, 128, 128),
    parameters=11_699_624,
)

_REACTNET18_BN = variant_of(
    _REACTNET18_BF,
    "reactnet18_bn",
    "ReActNet-18, binary weights and activations, batch normalisation",
    11_704_424,
    {"norm": "bn"},
    expectation="variance grows by what a normalised branch adds per layer, up to 8 in a stage",
)

_REACTNET18_NONE = variant_of(
    _REACTNET18_BF,
    "reactnet18_none",
    "ReActNet-18, binary weights and activations, no normalisation",
    11_694_824,
    {"norm": "none"},
    expectation="weights of one sign and 5e-4: squared mean far above variance",
)

_REACTNET_A_BF = variant_of(
    _REACTNET18_BF,
    "reactnet_a_bf",
    "ReActNet-A, binary weights and activations, batch-free",
    29_332_648,
    build="sppkit.models.reactnet:reactnet_a",
)

_REACTNET_A_BN = variant_of(
    _REACTNET18_BN,
    "reactnet_a_bn",
    "ReActNet-A, binary weights and activations, batch normalisation",
    29_343_592,
    build="sppkit.models.reactnet:reactnet_a",
)

_REACTNET_A_NONE = variant_of(
    _REACTNET18_NONE,
    "reactnet_a_none",
    "ReActNet-A, binary weights and activations, no normalisation",
    29_321_704,
    build="sppkit.models.reactnet:reactnet_a",
)

BINARY: tuple[Reference, ...] = (
    _REACTNET18_BF,
    variant_of(
        _REACTNET18_BF,
        "qa_reactnet18_bf",
        "ReActNet-18, binary activations alone, batch-free",
        11_699_624,
        _REAL_WEIGHTS,
    ),
    _REACTNET18_BN,
    variant_of(
        _REACTNET18_BN,
        "qa_reactnet18_bn",
        "ReActNet-18, binary activations alone, batch normalisation",
        11_704_424,
        _REAL_WEIGHTS,
    ),
    _REACTNET18_NONE,
    variant_of(
        _REACTNET18_NONE,
        "qa_reactnet18_none",
        "ReActNet-18, binary activations alone, no normalisation",
        11_694_824,
        _REAL_WEIGHTS,
        expectation="variance 0.1 to 0.4, growing within stages by what torch's own weights add",
    ),
    _REACTNET_A_BF,
    variant_of(
        _REACTNET_A_BF,
        "qa_reactnet_a_bf",
        "ReActNet-A, binary activations alone, batch-free",
        29_332_648,
        _REAL_WEIGHTS,
    ),
    _REACTNET_A_BN,
    variant_of(
        _REACTNET_A_BN,
        "qa_reactnet_a_bn",
        "ReActNet-A, binary activations alone, batch normalisation",
        29_343_592,
        _REAL_WEIGHTS,
    ),
    _REACTNET_A_NONE,
    variant_of(
        _REACTNET_A_NONE,
        "qa_reactnet_a_none",
        "ReActNet-A, binary activations alone, no normalisation",
        29_321_704,
        _REAL_WEIGHTS,
        expectation="variance 0.1 to 0.4, growing within stages by what torch's own weights add",
    ),
    variant_of(
        _REACTNET18_BF,
        "reactnet18_cifar",
        "ReActNet-18, a quarter as wide, small stem, batch-free",
        703_994,
        _SMALL_18,
        input_size=(3, 32, 32),
    ),
    variant_of(
        _REACTNET_A_BF,
        "reactnet_a_cifar",
        "5 blocks of ReActNet-A, half as wide, batch-free",
        269_162,
        _SMALL_A,
        input_size=(3, 32, 32),
    ),
    variant_of(
        _REACTNET18_BN,
        "reactnet18_cifar_bn",
        "ReActNet-18, a quarter as wide, small stem, batch normalisation",
        705_194,
        _SMALL_18,
        expectation="variance grows by what a normalised branch adds per layer",
        input_size=(3, 32, 32),
    ),
    variant_of(
        _REACTNET_A_BN,
        "reactnet_a_cifar_bn",
        "5 blocks of ReActNet-A, half as wide, batch normalisation",
        269_898,
        _SMALL_A,
        expectation="variance grows by what a normalised branch adds per layer",
        input_size=(3, 32, 32),
    ),
    variant_of(
        _REACTNET18_NONE,
        "reactnet18_cifar_none",
        "ReActNet-18, a quarter as wide, small stem, no normalisation",
        702_794,
        _SMALL_18,
        expectation="variance 0.3 to 1.2, growing within stages by what binary weights add",
        input_size=(3, 32, 32),
    ),
    variant_of(
        _REACTNET_A_NONE,
        "reactnet_a_cifar_none",
        "5 blocks of ReActNet-A, half as wide, no normalisation",
        268_426,
        _SMALL_A,
        expectation="variance 0.3 to 1.2, growing within stages by what binary weights add",
        input_size=(3, 32, 32),
    ),
    variant_of(
        _REACTNET18_BF,
        "reactnet18_digits",
        "ReActNet-18, a quarter as wide, small stem, batch-free",
        703_706,
        {**_SMALL_18, "in_channels": 1},
        input_size=(1, 8, 8),
    ),
)
