"""Turn a network with batch normalisation into its normaliser-free counterpart."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sppkit.capture.calls.compiled_modules import original
from sppkit.capture.steps.state import isolated_randomness
from sppkit.init.layers import weight_of
from sppkit.init.normalizer_free_plan import Branch, StandardizedLayer, plan_conversion
from sppkit.init.trial import Run, as_run, trace
from sppkit.models.layers import ScaledStandardizedConv2d

_OPTIONS = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"),
    "padding_mode",
)


@dataclass(frozen=True)
class Conversion:
    """What became of a network.

    Attributes:
        layers: that have scaled weight standardisation now, in order of execution.
        normalizations: names of the batch normalisations that were taken out.
        branches: names of the modules that now scale a residual branch each, in order of execution.
    """

    layers: tuple[StandardizedLayer, ...]
    normalizations: tuple[str, ...]
    branches: tuple[str, ...]


class ResidualBranchScale(nn.Module):
    """The end of a normaliser-free residual branch, alpha * skip_gain * f(x).

    Args:
        alpha: a constant.
        skip_gain: initial value of the learned scalar (SkipInit: De, Smith, 2020, Batch
            normalization biases residual blocks towards the identity function in deep networks,
            arXiv 2002.10444, section 4); None: there is none.
    """

    def __init__(self, alpha: float, skip_gain: float | None = 0.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.skip_gain = None if skip_gain is None else nn.Parameter(torch.tensor(float(skip_gain)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled branch, of the shape of x."""
        return self.alpha * (x if self.skip_gain is None else self.skip_gain * x)

    def extra_repr(self) -> str:
        """Show the constant in the printed model."""
        return f"alpha={self.alpha:.6g}"


class Copy(nn.Module):
    """A new tensor of the same values, in place of a normalisation that made one.

    Without it an in-place nonlinearity behind would rectify the skip path as well.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return a copy of x."""
        return x.clone()


def convert_to_normalizer_free(
    model: nn.Module,
    *args: Any,
    alpha: float = 0.2,
    skip_gain: float | None = 0.0,
    eps: float = 1e-4,
    run: Run | None = None,
) -> Conversion:
    """Turn a network with batch normalisation into its normaliser-free counterpart, in place.

        x + f(x)   becomes   x + alpha skip_gain f(x),   without the normalisations in f,

    and each convolution scaled weight standardisation, with a learned gain and a bias per filter:

        W'[o] = (gamma / beta) g[o] (W[o] - mean[o]) / sqrt(max(N var[o], eps))

    gamma is the gain of the nonlinearity in front of it (`sppkit.theory.nonlinearity_gain`). beta²
    is the variance that theory expects of what that nonlinearity is applied to: 1 behind a layer;
    behind a sum that of its skip path and alpha² more, so 1 + i alpha² behind i blocks with an
    identity on the skip path, and 1 + alpha² behind a transition, whose convolution sets it back.
    So every convolution gives unit variance, as batch normalisation did. The division by beta
    stands behind the nonlinearity as in the authors' code, g(x) / beta.

    In post-activation networks, relu(x + f(x)), which the paper has none of, beta² is that of their
    own ladder, `sppkit.theory.postactivation_ladder` with this alpha.

    Blocks are found by the provenance of tensors in one pass in eval mode. Converted are plain and
    residual networks of any author that consist of `torch.nn.Conv2d` and `torch.nn.BatchNorm2d`
    modules, nonlinearities and pooling; the classifier stays as it is, linear or not. Others are
    refused before anything is changed: squeeze-and-excite, concatenations, other normalisations,
    scales that are there already.

    The weights stay, and are standardised as they are; scale and shift of the normalisations are
    dropped, so this is for networks at their initialisation. What is expected holds for input of
    unit variance and no loss at the border; max-pooling and averaging pass for the identity, as
    they do in the paper. The result consists of plain modules, `ScaledStandardizedConv2d` and
    `ResidualBranchScale` among them, in the places of the old ones: it can be saved, copied,
    pickled and compiled. Hooks on replaced modules are gone. `sppkit.init.Change` undoes it. An
    optimiser has to be made afterwards, since there are new parameters.

    Args:
        model: the network.
        *args: positional arguments of its forward: a batch of data, of which the shape counts.
        alpha: scale of the residual branches.
        skip_gain: initial value of the learned scalar at the end of each branch: 0 as in the paper,
            with which a plot at initialisation shows nothing of the branches; 1 to look at them;
            None for no scalar.
        eps: floor under N var.
        run: runs the forward of the model it is given, where `args` do not suffice.

    Returns:
        What became of the layers, normalisations and branches.

    Raises:
        ValueError: alpha or eps is not positive, there is nothing to run, or the network has no
            counterpart here: what was found, and what was expected.

    References:
        Characterizing signal propagation to close the performance gap in unnormalized ResNets,
        Brock, De, Smith, 2021, arXiv 2101.08692, sections 4.1 to 4.4, equations 2 and 3; authors'
        code deepmind-research/nfnets/nf_resnet.py and base.py.
    """
    for name, value in (("alpha", alpha), ("eps", eps)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name}={value} must be a positive number")
    network = original(model)
    plan = plan_conversion(network, trace(model, as_run(args, run)), alpha)
    for layer in plan.layers:
        convolution = network.get_submodule(layer.layer)
        assert type(convolution) is nn.Conv2d
        _replace(network, layer.layer, _standardize(convolution, layer.gain, eps))
    scales = tuple(_scale(network, branch, alpha, skip_gain) for branch in plan.branches)
    gone = [name for name in plan.normalizations if name not in scales]
    for name in gone:
        rest = _without_normalization(network.get_submodule(name), copied=name in plan.copied)
        _replace(network, name, rest)
    return Conversion(tuple(plan.layers), tuple(plan.normalizations), scales)


def _standardize(convolution: nn.Conv2d, gain: float, eps: float) -> ScaledStandardizedConv2d:
    """Make the same convolution with scaled weight standardisation, of the same parameters."""
    given = {option: getattr(convolution, option) for option in _OPTIONS}
    with isolated_randomness(0):  # the weights that a new layer draws are not used
        standardized = ScaledStandardizedConv2d(**given, eps=eps, gamma=gain)
    standardized.to(convolution.weight)
    standardized.weight = convolution.weight
    if convolution.bias is not None:
        standardized.bias = convolution.bias
    return standardized.train(convolution.training)


def _without_normalization(normalization: nn.Module, *, copied: bool) -> nn.Module:
    """Leave of a normalisation what it is fused with, such as timm's activations."""
    first: nn.Module = Copy() if copied else nn.Identity()
    children = OrderedDict(normalization.named_children())
    rest = nn.Sequential(OrderedDict(normalization=first, **children)) if children else first
    return rest.train(normalization.training)


def _scale(network: nn.Module, branch: Branch, alpha: float, skip_gain: float | None) -> str:
    """Put the scale at the end of a branch: in place of what is no more needed there, or behind."""
    layer = network.get_submodule(branch.layer)
    scale = ResidualBranchScale(alpha, skip_gain).to(weight_of(layer)).train(layer.training)
    for name in branch.emitted:
        module = network.get_submodule(name)
        if isinstance(module, nn.Identity) or _is_bare_normalization(module):
            _replace(network, name, scale)
            return name
    name = branch.emitted[0]
    owner = name.rpartition(".")[0]
    sequence = network.get_submodule(owner)
    if isinstance(sequence, nn.Sequential) and owner in branch.emitted:
        sequence.add_module("scale", scale)
        return f"{owner}.scale"
    wrapped = nn.Sequential(OrderedDict(layer=network.get_submodule(name), scale=scale))
    _replace(network, name, wrapped.train(layer.training))
    return f"{name}.scale"


def _is_bare_normalization(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and not list(module.children())


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of another one, under all names that it has."""
    old = network.get_submodule(name)
    for owner in list(network.modules()):  # not those inside of the new one
        for own, child in owner.named_children():
            if child is old:
                setattr(owner, own, module)
