"""Find residual branches and skip paths by the provenance of tensors.

A *merge* is a sum whose operands all descend from an earlier tensor, its *fork*. The operand with
the fewest parameter-using operations on its way from the fork is the *skip path*, the others are
*residual branches*. No layer is named and no class is known: `x + self.f(x)` in anyone's network
and torchvision's `out += identity` are found alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from sppkit.capture.tracing.graph import CASTS, DROPOUTS, SHAPE_OPERATIONS, Graph, Node

_SUMS = frozenset({"add", "sub", "lerp", "addcmul"})
_JOINS = frozenset({"cat", "concat", "concatenate"})


@dataclass(frozen=True)
class PathEnd:
    """Where the variance of a branch or a skip path is read.

    Attributes:
        node: the operand, walked back through shapes, casts, dropout, one constant and one gain.
        constant: the constant factor passed on the way; 1.0 without one, None where its value is
            not known on the host.
        gains: names of the learned gains passed on the way (None for a computed one).
    """

    node: Node
    constant: float | None
    gains: tuple[str | None, ...]


@dataclass
class Merge:
    """A sum of residual branches and a skip path.

    Attributes:
        node: the sum.
        fork: the latest tensor that all operands descend from.
        skip: the operand of the skip path.
        skip_kind: "identity" (shape operations only), "scaled" (constants or gains too) or
            "projection" (anything else).
        branches: the operands of the residual branches.
        ends: where each of them is read.
        skip_end: where the skip path is read.
        level: number of other merges whose residual branch holds this one.
    """

    node: Node
    fork: Node
    skip: Node
    branches: list[Node]
    skip_kind: str = "identity"
    ends: list[PathEnd] = field(default_factory=list)
    skip_end: PathEnd | None = None
    level: int = 0


@dataclass
class Findings:
    """The merges of a graph, and what looks like one and is none.

    Attributes:
        merges: in order of execution.
        parallel: sums of branches of equal weight, with no skip path among them (gates).
        concatenations: joins of tensors with a common fork (DenseNet).
        spanning: merges whose branch runs through several blocks (U-Net, feature pyramid, HRNet).
    """

    merges: list[Merge]
    parallel: list[Node]
    concatenations: list[Node]
    spanning: list[Merge] = field(default_factory=list)


def find_merges(graph: Graph) -> Findings:
    """Find every residual merge of a traced forward."""
    merged: dict[int, Merge] = {}  # by the index of the sum
    findings = Findings([], [], [])
    for node in graph.nodes:
        operands = _summands(graph, node)
        if len(operands) > 1:
            _classify(graph, node, operands, merged, findings)
        elif node.operation in _JOINS and _common_fork(graph, _parents(graph, node)):
            findings.concatenations.append(node)
    findings.merges = list({id(merge): merge for merge in merged.values()}.values())
    for merge in findings.merges:
        _find_ends(graph, merge)
    _find_levels(graph, findings)
    return findings


def _find_levels(graph: Graph, findings: Findings) -> None:
    """Find the nesting of the merges, after those that span blocks have been put aside.

    Modules of one class belong to one level. A merge that holds only some of them, while others
    stand beside it, is no block but a path around several.
    """
    while True:
        holders = {
            id(m): [other for other in findings.merges if _holds(other, m)] for m in findings.merges
        }
        for merge in findings.merges:
            merge.level = len(holders[id(merge)])
        beside = {_owner_class(graph, m) for m in findings.merges if m.level == 0}
        spanning = {
            id(holder): holder
            for merge in findings.merges
            for holder in holders[id(merge)]
            if (kind := _owner_class(graph, merge)) in beside
            and kind not in (nn.Sequential, _owner_class(graph, holder))
        }
        if not spanning:
            return
        findings.merges = [m for m in findings.merges if id(m) not in spanning]
        findings.spanning += spanning.values()


def owner(graph: Graph, merge: Merge) -> tuple[str, int]:
    """Find the innermost module call that holds the merge and what is weighted in its branches."""
    stack = merge.node.stack
    for branch in merge.branches:
        for node in path_nodes(graph, merge.fork, branch):
            if node.uses_parameter:
                stack = _common_prefix(stack, node.stack)
    return stack[-1]


def _owner_class(graph: Graph, merge: Merge) -> type[nn.Module]:
    return type(graph.calls[owner(graph, merge)].module)


def _common_prefix(
    one: tuple[tuple[str, int], ...], other: tuple[tuple[str, int], ...]
) -> tuple[tuple[str, int], ...]:
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return one[: max(length, 1)]


def drawn_level(merges: list[Merge]) -> int:
    """Choose the level of nesting that a plot follows: the outermost one with several merges.

    A network inside one global skip path (image restoration) has a single merge at level 0, which
    says nothing about its blocks.
    """
    levels = sorted({merge.level for merge in merges})
    counts = {level: sum(merge.level == level for merge in merges) for level in levels}
    return next((level for level in levels if counts[level] > 1), levels[0] if levels else 0)


def parameter_operations(graph: Graph, fork: Node, target: Node) -> int:
    """Count the parameter-using operations on the heaviest path from a fork to a node."""
    heaviest = {fork.index: 0}
    for node in path_nodes(graph, fork, target):
        before = [heaviest[parent] for parent in node.parents if parent in heaviest]
        heaviest[node.index] = max(before) + node.uses_parameter
    return heaviest.get(target.index, 0)


def path_nodes(graph: Graph, fork: Node, target: Node) -> Iterator[Node]:
    """Walk the nodes between a fork (left out) and a target (included), in order of execution."""
    for index in range(fork.index + 1, target.index + 1):
        node = graph.nodes[index]
        if target.ancestors >> index & 1 and node.ancestors >> fork.index & 1:
            yield node


def _parents(graph: Graph, node: Node) -> list[Node]:
    return [graph.nodes[parent] for parent in node.parents]


def _summands(graph: Graph, node: Node) -> list[Node]:
    """Give the data operands of a sum; those of the stack for `torch.stack(...).sum(...)`."""
    parents = _parents(graph, node)
    if node.operation in _SUMS:
        return parents
    if node.operation == "sum" and parents[0].operation == "stack":
        return _parents(graph, parents[0])
    return []


def _common_fork(graph: Graph, operands: list[Node]) -> Node | None:
    if len(operands) < 2:
        return None
    common = operands[0].ancestors
    for operand in operands[1:]:
        common &= operand.ancestors
    return graph.nodes[common.bit_length() - 1] if common else None


def _classify(
    graph: Graph, node: Node, operands: list[Node], merged: dict[int, Merge], findings: Findings
) -> None:
    fork = _common_fork(graph, operands)
    if fork is None:
        return
    if _joins_earlier_merge(graph, node, operands, fork, merged):
        return
    weights = [parameter_operations(graph, fork, operand) for operand in operands]
    lightest = min(weights)
    if weights.count(lightest) > 1:
        # Neither operand is the skip path: a gate, or two branches. Without weights of their own it
        # is arithmetic: a rotary embedding, the polynomial inside a tanh-GELU.
        if _have_own_weights(graph, operands):
            findings.parallel.append(node)
        return
    skip = operands[weights.index(lightest)]
    branches = [operand for operand in operands if operand is not skip]
    if lightest and _is_recurrent(graph, fork, operands):
        return
    merged[node.index] = Merge(node, fork, skip, branches)


def _have_own_weights(graph: Graph, operands: list[Node]) -> bool:
    """Say whether an operand descends from a weighted operation that not all descend from."""
    either, both = 0, -1
    for operand in operands:
        either |= operand.ancestors
        both &= operand.ancestors
    own = either & ~both
    return any(node.uses_parameter for node in graph.nodes if own >> node.index & 1)


def _joins_earlier_merge(
    graph: Graph, node: Node, operands: list[Node], fork: Node, merged: dict[int, Merge]
) -> bool:
    """Add a further branch to the merge that an operand already is: `x + f(x) + g(x)`.

    The later branch may fork inside the earlier one, as where both read one normalisation of x.
    """
    for operand in operands:
        earlier = merged.get(operand.index)
        if earlier is None or fork is operand or not fork.ancestors >> earlier.fork.index & 1:
            continue
        further = [other for other in operands if other is not operand]
        if any(parameter_operations(graph, earlier.fork, other) for other in further):
            earlier.branches += further
            earlier.node = node
            merged[node.index] = merged.pop(operand.index)
            return True
    return False


def _is_recurrent(graph: Graph, fork: Node, operands: list[Node]) -> bool:
    """Say whether a layer between fork and sum is called more than once in the pass."""
    return any(
        node.uses_parameter and (node.place.layer, 1) in graph.calls
        for operand in operands
        for node in path_nodes(graph, fork, operand)
    )


def _find_ends(graph: Graph, merge: Merge) -> None:
    merge.ends = [walk_back(graph, merge, branch) for branch in merge.branches]
    merge.skip_end = walk_back(graph, merge, merge.skip)
    if not _is_reshaped(graph, merge.fork, merge.skip_end.node):
        merge.skip_kind = "projection"
    elif merge.skip_end.constant != 1.0 or merge.skip_end.gains:
        merge.skip_kind = "scaled"


def walk_back(graph: Graph, merge: Merge, operand: Node) -> PathEnd:
    """Walk an operand back to the end of its path.

    Shapes, casts, dropout and random masks are passed, one constant factor and one learned gain, in
    any order; never a normalisation, a nonlinearity or a product of two data tensors. One constant
    only: behind NF-ResNets' alpha the factor 2 of squeeze-and-excite belongs to the branch.
    """
    node, shown = operand, None
    gains: list[str | None] = []
    constant = _factor_in_sum(merge.node, operand)
    passed_constant = constant != 1.0
    while node is not merge.fork and len(node.parents) == 1:
        kind = node.factor.kind if node.factor else ""
        if kind == "constant" and not passed_constant:
            passed_constant, constant = True, node.factor.value if node.factor else None
        elif kind == "gain" and not gains:
            gains.append(node.factor.parameter if node.factor else None)
        elif kind != "mask" and node.operation not in SHAPE_OPERATIONS | CASTS | DROPOUTS:
            break
        # A module may reshape what it computed before it returns it: the values are the same.
        shown = (node if node.emitted else shown) if node.operation in SHAPE_OPERATIONS else None
        node = graph.nodes[node.parents[0]]
    return PathEnd(shown if shown and not node.emitted else node, constant, tuple(gains))


def _factor_in_sum(node: Node, operand: Node) -> float | None:
    """Give what a sum itself multiplies one of its operands with."""
    if node.parents[-1] == operand.index:
        return node.alpha
    if node.operation == "lerp":
        return None if node.alpha is None else 1.0 - node.alpha
    return 1.0


def _is_reshaped(graph: Graph, fork: Node, node: Node) -> bool:
    return all(step.operation in SHAPE_OPERATIONS for step in path_nodes(graph, fork, node))


def _holds(outer: Merge, inner: Merge) -> bool:
    """Say whether the path of one of `outer`'s branches goes through `inner`'s sum.

    A path begins at the fork: what a decoder's cross-attention reads of an encoder is no part of
    the decoder's branch.
    """
    if not inner.node.ancestors >> outer.fork.index & 1:
        return False
    outside = outer.skip.ancestors  # those of the fork are among them
    return any((branch.ancestors & ~outside) >> inner.node.index & 1 for branch in outer.branches)
