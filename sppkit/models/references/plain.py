"""Networks without residual blocks: fully connected and convolutional."""

from sppkit.models.references.reference import Reference

_HE = "Delving deep into rectifiers, He, Zhang, Ren, Sun, 2015, arXiv 1502.01852"
_SELF_NORMALIZING = (
    "Self-Normalizing Neural Networks, Klambauer, Unterthiner, Mayr, Hochreiter, 2017, "
    "arXiv 1706.02515"
)

PLAIN: tuple[Reference, ...] = (
    Reference(
        name="mlp",
        family="fully connected",
        build="sppkit.models.mlp:mlp",
        paper=_HE,
        summary="8 hidden layers of 256, ReLU, He initialisation; norm= batch or layer",
        expectation="second moment stays at 2, its variance over samples turns into squared mean",
        input_size=(64,),
        parameters=479_754,
    ),
    Reference(
        name="sn_mlp",
        family="fully connected",
        build="sppkit.models.mlp:sn_mlp",
        paper=_SELF_NORMALIZING,
        summary="8 hidden layers of 256, SELU, LeCun initialisation",
        expectation="variance stays at 1, squared mean at 0",
        input_size=(64,),
        parameters=479_754,
    ),
)
