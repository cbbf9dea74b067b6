"""Read off one traced pass what has to become of a network with batch normalisation."""

from dataclasses import dataclass, field
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from sppkit.capture.tracing.graph import (
    CASTS,
    DROPOUTS,
    NONLINEARITIES,
    NORMALISATIONS,
    SHAPE_OPERATIONS,
    Node,
)
from sppkit.capture.tracing.merges import Merge, PathEnd
from sppkit.init.in_front import spelled_by_theory
from sppkit.init.layers import weighted_layers
from sppkit.init.trial import Trace
from sppkit.theory import nonlinearity_gain, postactivation_ladder

_KEPT = SHAPE_OPERATIONS | CASTS | DROPOUTS | {"batch_norm", "mean"}


@dataclass(frozen=True)
class StandardizedLayer:
    """What scaled weight standardisation makes of one layer.

    Attributes:
        layer: its name.
        nonlinearity: in front of it, "identity" for none.
        expected_variance: of what that is applied to: beta² at the blocks' beginnings, else 1. Of
            rectified sums, which are not gaussian, that of the gaussian whose rectified variance is
            theirs.
    """

    layer: str
    nonlinearity: str
    expected_variance: float

    @property
    def gain(self) -> float:
        """The norm of its units, gamma / beta: outputs have unit variance."""
        return float(nonlinearity_gain(self.nonlinearity) / self.expected_variance**0.5)


@dataclass(frozen=True)
class Branch:
    """A residual branch.

    Attributes:
        layer: the layer that it ends with.
        emitted: names of the modules whose output the branch's end is, innermost first.
    """

    layer: str
    emitted: tuple[str, ...]


@dataclass
class NormalizerFreePlan:
    """What has to be done to a network.

    Attributes:
        layers: that get scaled weight standardisation, in order of execution.
        normalizations: names of the batch normalisations that go.
        copied: those of them behind which something may write in place, to what others read too.
        branches: residual branches, in order of execution.
    """

    layers: list[StandardizedLayer] = field(default_factory=list)
    normalizations: list[str] = field(default_factory=list)
    copied: set[str] = field(default_factory=set)
    branches: list[Branch] = field(default_factory=list)


def plan_conversion(model: nn.Module, trace: Trace, alpha: float) -> NormalizerFreePlan:
    """Plan the conversion of a network.

    Raises:
        ValueError: it is no network that can be converted: what was found, what was expected.
    """
    return _Planner(model, trace, alpha).plan()


class _Planner:
    """Walks the graph in order of execution, with the variance that each sum is expected to have.

    Whatever a standardised layer gives has variance 1, what a sum gives the variance of its skip
    path and alpha² for each branch. Where skip paths are rectified, sums climb the ladder of
    post-activation networks: `_rectified` says with what it began, and how many blocks ago.
    """

    def __init__(self, model: nn.Module, trace: Trace, alpha: float) -> None:
        self._model, self._trace, self._alpha = model, trace, alpha
        self._nodes = trace.graph.nodes
        self._modules = dict(model.named_modules())
        self._weighted = weighted_layers(model)
        self._variances: dict[int, float] = {}
        self._rectified: dict[int, tuple[Literal["projection", "identity"], int]] = {}
        self._merges = {merge.node.index: merge for merge in trace.merges}

    def plan(self) -> NormalizerFreePlan:
        plan = NormalizerFreePlan(normalizations=self._normalizations(), copied=self._copied())
        self._refuse_nested()
        standardized = self._standardized()
        found: dict[str, StandardizedLayer] = {}
        for node in self._nodes:
            if node.index in self._merges:
                merge = self._merges[node.index]
                plan.branches += [self._branch(end, standardized) for end in merge.ends]
                self._variances[node.index] = self._variance_of_sum(merge)
            elif (layer := self._layer_of(node)) in standardized:
                made = self._standardized_layer(layer, node)
                if found.setdefault(layer, made) != made:
                    raise self._refusal(
                        f"{layer!r} is called several times on signals that differ, with one gain"
                    )
        plan.layers = list(found.values())
        return plan

    def _normalizations(self) -> list[str]:
        nodes = [node for node in self._nodes if node.operation in NORMALISATIONS]
        for node in nodes:
            layer = node.place.layer
            if node.operation != "batch_norm":
                raise self._refusal(f"{layer!r} is another normalisation, {node.operation}")
            if not isinstance(self._modules.get(layer), _BatchNorm):
                raise self._refusal(
                    f"{layer!r} normalises in its own forward, not by a torch.nn.BatchNorm module"
                )
        if not nodes:
            raise self._refusal("no batch normalisation was called")
        return list(dict.fromkeys(node.place.layer for node in nodes))

    def _copied(self) -> set[str]:
        """Find normalisations whose input has other readers, and whose output may be overwritten.

        A normalisation makes a new tensor, behind which an in-place nonlinearity is safe.
        """
        readers = self._trace.graph.children()
        return {
            node.place.layer
            for node in self._nodes
            if node.operation == "batch_norm"
            and len(readers[node.parents[0]]) > 1
            and any(self._may_write_in_place(self._nodes[reader]) for reader in readers[node.index])
        }

    def _may_write_in_place(self, node: Node) -> bool:
        writes = node.operation in NONLINEARITIES | DROPOUTS
        module = self._modules.get(node.place.layer)
        return writes and getattr(module, "inplace", True) is not False

    def _refuse_nested(self) -> None:
        for merge in self._trace.nested:
            place = merge.node.place
            raise self._refusal(
                f"the sum {place.operation!r} in {place.layer or 'the network'!r} is inside a "
                "residual branch or around several blocks"
            )

    def _standardized(self) -> set[str]:
        """Choose the convolutions that layers or sums read: a classifier that is one stays."""
        later, chosen = 0, set()
        for node in reversed(self._nodes):
            layer, is_read = self._layer_of(node), bool(later >> node.index & 1)
            if layer is not None and isinstance(self._modules[layer], _ConvNd) and is_read:
                chosen.add(layer)
            if layer is not None or node.index in self._merges:
                later |= node.ancestors
        for layer in sorted(chosen):
            if reason := _why_not_standardized(self._modules[layer]):
                raise self._refusal(f"{layer!r} {reason}")
        self._refuse_readers_of_other_layers(chosen)
        return chosen

    def _refuse_readers_of_other_layers(self, standardized: set[str]) -> None:
        """Refuse what is to be given unit variance by a layer that is not standardised."""
        for node in self._nodes:
            reads = node.operation == "batch_norm" or self._layer_of(node) in standardized
            read = self._layer_of(self._walk(node)[0]) if reads else None
            if read is not None and read not in standardized:
                raise self._refusal(
                    f"{node.place.layer!r} reads {read!r}, a {type(self._modules[read]).__name__} "
                    "that is not standardised"
                )

    def _standardized_layer(self, layer: str, node: Node) -> StandardizedLayer:
        source, between = self._walk(node)
        passed = [n.operation for n in between if n.operation in NONLINEARITIES]
        names = [spelled_by_theory(operation) for operation in passed]
        if len(names) > 1 or None in names:
            raise self._refusal(
                f"in front of {layer!r} stands {' > '.join(passed)}, which has no known gain; one "
                "nonlinearity of sppkit.theory.NONLINEARITIES has"
            )
        name = names[0] if names and names[0] else "identity"
        if not self._is_gaussian(source) and name != "relu":
            raise self._refusal(f"{layer!r} reads a sum of rectified signals without relu")
        return StandardizedLayer(layer, name, self._variances.get(source.index, 1.0))

    def _branch(self, end: PathEnd, standardized: set[str]) -> Branch:
        source, between = self._walk(end.node, from_result=True)
        layer = self._layer_of(source)
        shown = end.node.output_place.layer
        if end.constant != 1.0 or end.gains:
            raise self._refusal(f"the residual branch that ends with {shown!r} has a scale already")
        if layer not in standardized or any(n.operation in NONLINEARITIES for n in between):
            raise self._refusal(
                f"the residual branch that ends with {shown!r} ends with {end.node.operation}, not "
                "with a convolution or its normalisation"
            )
        places = [place.layer for place in end.node.emitted if not place.operation]
        return Branch(layer, tuple(places))

    def _variance_of_sum(self, merge: Merge) -> float:
        owner = merge.node.place.layer or "the network"
        source, between = self._walk(merge.skip, from_result=True)
        nonlinear = [n.operation for n in between if n.operation in NONLINEARITIES]
        if merge.skip_kind == "scaled":
            raise self._refusal(f"the skip path of {owner!r} has a scale already")
        if nonlinear:
            return self._variance_of_rectified_sum(merge, source, nonlinear)
        if not self._is_gaussian(source):
            raise self._refusal(f"{owner!r} adds to a sum of rectified signals without relu")
        if self._layer_of(source) is not None:
            self._rectified[merge.node.index] = ("projection", 1)
        return self._variances.get(source.index, 1.0) + self._alpha**2 * len(merge.ends)

    def _variance_of_rectified_sum(self, merge: Merge, source: Node, nonlinear: list[str]) -> float:
        """Climb the ladder of relu(x + alpha z), z ~ N(0, 1), by one block."""
        begun = self._rectified.get(source.index)
        if self._layer_of(source) is not None:
            begun = ("identity", 0)
        if nonlinear != ["relu"] or begun is None or len(merge.ends) != 1:
            owner = merge.node.place.layer or "the network"
            raise self._refusal(
                f"the skip path of {owner!r} goes through {' > '.join(nonlinear)}, where only the "
                "relu behind each sum of a post-activation network is known"
            )
        first_block, blocks = begun[0], begun[1] + 1
        self._rectified[merge.node.index] = (first_block, blocks)
        ladder = postactivation_ladder((blocks,), first_block=first_block, alpha=self._alpha)
        return float(ladder.average_channel_variance[-1]) * nonlinearity_gain("relu") ** 2

    def _is_gaussian(self, source: Node) -> bool:
        """Say whether what a layer, a sum or the input gives has no rectified summand."""
        return self._rectified.get(source.index, ("projection", 1)) == ("projection", 1)

    def _walk(self, node: Node, *, from_result: bool = False) -> tuple[Node, list[Node]]:
        """Go from what a node reads, or gives, to the layer, sum or input that it comes from."""
        between: list[Node] = []
        current = node if from_result else self._only_parent(node)
        while not self._is_source(current):
            between.append(current)
            current = self._only_parent(current)
        return current, between

    def _is_source(self, node: Node) -> bool:
        is_sum = node.index in self._merges
        return is_sum or node.operation == "input" or self._layer_of(node) is not None

    def _only_parent(self, node: Node) -> Node:
        passes = node.operation in _KEPT | NONLINEARITIES or "pool" in node.operation
        reads = passes or self._layer_of(node) is not None
        if len(node.parents) != 1 or not reads:
            place = node.place
            raise self._refusal(
                f"the signal goes through {place.operation!r} in {place.layer or 'the network'!r}, "
                "behind which its variance is not known"
            )
        return self._nodes[node.parents[0]]

    def _layer_of(self, node: Node) -> str | None:
        layer = node.place.layer
        return layer if node.uses_parameter and layer in self._weighted else None

    def _refusal(self, found: str) -> ValueError:
        return ValueError(
            f"{type(self._model).__name__} has no normaliser-free counterpart here: {found}. "
            "Expected is a network of 2-d convolutions, batch normalisations and nonlinearities, "
            "plain or with residual blocks, x + f(x) or relu(x + f(x)), whose branches end with a "
            "convolution. Nothing was changed."
        )


def _why_not_standardized(module: nn.Module) -> str:
    if type(module) is not nn.Conv2d:
        return f"is of the class {type(module).__name__}, and only a plain torch.nn.Conv2d is known"
    if parametrize.is_parametrized(module):
        return "has a parametrization already"
    return "" if module.weight[0].numel() > 1 else "has one weight per filter, which would become 0"
