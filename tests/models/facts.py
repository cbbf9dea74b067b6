"""What the papers and released code of the field say, item by item, and the tests that prove it.

D: Designing Normalizer-Free EfficientNets, Dewyse, 2025, and its tools. E: EUNNet, Nguyen, Choi,
Yang, 2023. B: "BNN - BN = ?", Chen et al., 2021. N: NF-ResNets and NFNets, Brock et al., 2021, with
SkipInit and Fixup. G: Training deep neural networks without batch normalization, Gaur, Folz,
Dengel, 2020. S: what tools that draw signal propagation plots must do.

A test says in its name or docstring which items it proves; `test_facts.py` holds both against each
other.
"""

from typing import NamedTuple


class Fact(NamedTuple):
    """One item.

    Attributes:
        statement: what is so.
        tests: "file::test" below `tests`, those that prove it.
        not_applicable: why there is nothing to test, where there is not.
    """

    statement: str
    tests: tuple[str, ...] = ()
    not_applicable: str = ""


FACTS: dict[str, Fact] = {
    # -- Dewyse
    "D1": Fact("statistics per channel of any rank from 2, with the channel axis known"),
    "D2": Fact("pooled statistics of matrices change at a flattening, those per channel do not"),
    "D3": Fact("outputs, inputs, their gradients, parameters and their gradients are told apart"),
    "D4": Fact("gradients of a mean loss depend on the batch size, per-sample ones do not"),
    "D5": Fact("results of functions are read: block, branch end, gate, merge"),
    "D6": Fact("in-place layers, shared layers, any rank and output; the model left as found"),
    "D7": Fact("reductions stay on the device; one transfer per step"),
    "D8": Fact("one tidy table, which survives NaN, inf and files"),
    "D9": Fact("plots by signal and statistic, over depth and over steps, with seeds and theory"),
    "D10": Fact("the thesis's networks: fully connected, convolutional, EfficientNet-B0"),
    "D11": Fact("its layers: SELU, magnitude-preserving sum and product, DyT, WS, SWS, SE"),
    "D12": Fact("initialisations that kill or explode EfficientNet are found, healthy ones pass"),
    "D13": Fact("explosion, vanishing, dead gradients and drift are detected"),
    "D14": Fact("the backward pass of batch normalisation scales by gamma over sigma"),
    "D15": Fact("train against eval, several seeds"),
    # -- EUNNet
    "E1": Fact("EUNConv standardises its whole input, so that a x + b leaves no trace"),
    "E2": Fact("its output has second moment 2 under He's initialisation"),
    "E3": Fact("residual scale L^(-1/2), identity scale sqrt(b / (b + 1)), their product"),
    "E4": Fact("RescaleNet's scales and its bias that forgets a running mean"),
    "E5": Fact("the share of active values of block outputs"),
    "E6": Fact("EUNNet-50, -101, -200 and ResNeXt forms have their numbers of parameters"),
    "E7": Fact("whether a prediction depends on the other samples of its batch"),
    "E8": Fact("its recipe"),
    # -- BNN - BN
    "B1": Fact("the gradient of the approximate sign, and the sign of zero"),
    "B2": Fact("binary convolution with scaled weight standardisation"),
    "B3": Fact("RSign, RPReLU, the two ladders"),
    "B4": Fact("effective weights are read beside the stored ones"),
    "B5": Fact("clipping by name, linear rate, two-stage loading, distillation"),
    "B6": Fact("ReActNet-18 and -A in their variants"),
    # -- NF-ResNets, NFNets, SkipInit, Fixup
    "N1": Fact("gains of nonlinearities, published and exact"),
    "N2": Fact("variants of scaled weight standardisation"),
    "N3": Fact("the ladder of expected variances"),
    "N4": Fact("blocks with squeeze-and-excite, SkipInit, stochastic depth"),
    "N5": Fact("Fixup and SkipInit"),
    "N6": Fact("adaptive gradient clipping"),
    "N7": Fact("three curves: after the stem and each merge, and at each branch's end"),
    "N8": Fact("theory by topology, with a correction for padding"),
    "N9": Fact("silent branches are found, can be shown, and are restored"),
    "N10": Fact("numbers of parameters"),
    # -- Gaur, Folz, Dengel
    "G1": Fact("weight normalisation"),
    "G2": Fact("clipping by value, global norm and unit under one interface, with its rate"),
    "G3": Fact("arms with dropout"),
    "G4": Fact("a grid of methods, networks and seeds makes one table"),
    # -- tools
    "S1": Fact("what is read is read at once: a later in-place layer does not change it"),
    "S2": Fact("hooks are removed, on success and on failure"),
    "S3": Fact("the mode of measuring is explicit, buffers are restored"),
    "S4": Fact("biased variance by default; few values are said"),
    "S5": Fact("names, order and calls; a pattern that matches nothing is refused"),
    "S6": Fact("the user's batch or noise, with a seed, on the model's device"),
    "S7": Fact("matrices, sequences, volumes, tokens"),
    "S8": Fact("animations: labels, one scale, frames per second"),
    "S9": Fact("the post-activation ResNet's curve"),
}
