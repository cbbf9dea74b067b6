"""From merges to the places that a signal propagation plot shows: stem, blocks and branches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sppkit.capture.calls.places import Place
from sppkit.capture.tracing.graph import SHAPE_OPERATIONS, Graph, Node
from sppkit.capture.tracing.merges import Findings, Merge, PathEnd, drawn_level, owner
from sppkit.signals import Tap

Call = tuple[str, int]
_MERGES_OF_ONE_BLOCK = 3  # a transformer decoder's: self-attention, cross-attention, feed-forward
_MERGES_OF_NESTED_MODULES = 4  # the same with two position encodings of their own, as in DaViT


@dataclass(frozen=True)
class TapInfo:
    """What a place is in a residual network.

    Attributes:
        tap: the kind of place.
        block, stage: indices from 1; 0 for the stem.
        merge: the sum it belongs to.
        end: for the end of a branch or skip path, what was passed on the way back to it.
    """

    tap: Tap
    block: int
    stage: int
    merge: Merge | None = None
    end: PathEnd | None = None


@dataclass
class Block:
    """A residual block: the tensor that leaves it and the merges inside."""

    node: Node
    place: Place
    owner: Call | None
    merges: list[Merge] = field(default_factory=list)


def find_taps(graph: Graph, findings: Findings) -> dict[Place, TapInfo]:
    """Name the places of a traced network, in the order stem, blocks, branches, skip paths."""
    level = drawn_level(findings.merges)
    blocks = find_blocks(graph, [merge for merge in findings.merges if merge.level == level])
    stages = number_stages([block.node.shape[1:] for block in blocks])
    taps: dict[Place, TapInfo] = {}
    if blocks and (stem := _stem(graph, blocks[0])):
        taps[stem.output_place] = TapInfo(Tap.STEM, 0, 0)
    for number, (block, stage) in enumerate(zip(blocks, stages, strict=True), start=1):
        merge = block.merges[-1] if block.merges else None
        taps.setdefault(block.place, TapInfo(Tap.BLOCK, number, stage, merge))
        for merge in block.merges:
            _add_path_ends(taps, merge, number, stage)
    return taps


def _add_path_ends(taps: dict[Place, TapInfo], merge: Merge, block: int, stage: int) -> None:
    for end in merge.ends:
        branch = TapInfo(Tap.RESIDUAL_BRANCH, block, stage, merge, end)
        taps.setdefault(end.node.output_place, branch)
    if merge.skip_kind == "projection" and merge.skip_end:
        skip = TapInfo(Tap.SKIP_PATH, block, stage, merge, merge.skip_end)
        taps.setdefault(merge.skip_end.node.output_place, skip)


def find_blocks(graph: Graph, merges: Sequence[Merge]) -> list[Block]:
    """Group merges by the module that owns them; add its siblings that have no skip path.

    The owner is the innermost module call that holds the merge and the weighted operations of its
    branch. A root, or a lone owner of more merges than a block has, is no block: there each merge
    is one.
    """
    owned: dict[Call, list[Merge]] = {}
    for merge in merges:
        owned.setdefault(owner(graph, merge), []).append(merge)
    _join_nested(graph, owned)
    blocks: list[Block] = []
    for call, group in owned.items():
        lone = len(owned) == 1 and len(group) > _MERGES_OF_ONE_BLOCK
        if call[0] == "" or lone:
            blocks += [Block(m.node, m.node.output_place, None, [m]) for m in group]
        elif output := _output_of(graph, call, group[-1].node):
            blocks.append(Block(output[0], output[1], call, group))
    blocks += _siblings_without_skip(graph, [block.owner for block in blocks if block.owner])
    return sorted(blocks, key=lambda block: block.node.index)


def _join_nested(graph: Graph, owned: dict[Call, list[Merge]]) -> None:
    """Give an owner the merges of the owners inside it, as long as one block has so many.

    In a post-norm transformer the attention owns its merge, and the layer around it the other one.
    """
    for outer in list(owned):
        held = [inner for inner in owned if outer in graph.calls[inner].stack]
        merges = [merge for inner in held for merge in owned[inner]]
        if outer[0] and outer in held and len(merges) <= _MERGES_OF_NESTED_MODULES:
            for inner in held:
                del owned[inner]
            owned[outer] = sorted(merges, key=lambda merge: merge.node.index)


def number_stages(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """Number the maximal runs of equal channels and spatial size, from 1.

    >>> number_stages([(64, 8, 8), (64, 8, 8), (128, 4, 4)])
    [1, 1, 2]
    """
    stages: list[int] = []
    for position, shape in enumerate(shapes):
        new = position == 0 or shape != shapes[position - 1]
        stages.append((stages[-1] if stages else 0) + new)
    return stages


def taps_by_pattern(
    graph: Graph,
    blocks: Callable[[str], bool] | None,
    residual_branches: Callable[[str], bool] | None,
    stem: Callable[[str], bool] | None,
) -> dict[Place, TapInfo]:
    """Name the places by the layers' names, where the user knows better than provenance.

    Without a pattern for them, there are no branches and no stem. A branch belongs to the first
    block that ends at or after it.
    """
    outputs = [(node, place) for node in graph.nodes for place in node.emitted]
    chosen = [(node, place) for node, place in outputs if blocks and blocks(place.layer)]
    stages = number_stages([node.shape[1:] for node, _ in chosen])
    taps: dict[Place, TapInfo] = {}
    for node, place in outputs:
        if stem and stem(place.layer):
            taps[place] = TapInfo(Tap.STEM, 0, 0)
        elif residual_branches and residual_branches(place.layer):
            block = sum(end.index < node.index for end, _ in chosen) + 1
            stage = stages[min(block, len(stages)) - 1] if stages else 1
            taps[place] = TapInfo(Tap.RESIDUAL_BRANCH, block, stage)
    for number, ((_, place), stage) in enumerate(zip(chosen, stages, strict=True), start=1):
        taps[place] = TapInfo(Tap.BLOCK, number, stage)
    return taps


def _output_of(graph: Graph, owner: Call, source: Node | None) -> tuple[Node, Place] | None:
    """Find the first output of a module call that descends from a node."""
    for node in graph.nodes:
        for place in node.emitted:
            if (place.layer, place.call) == owner and (
                source is None or node.ancestors >> source.index & 1
            ):
                return node, place
    return None


def _siblings_without_skip(graph: Graph, owners: list[Call]) -> list[Block]:
    """Find calls of the owners' classes that have no merge (MBConv where the shape changes)."""
    classes = {type(graph.calls[owner].module) for owner in owners if owner in graph.calls}
    blocks = []
    for call, module_call in graph.calls.items():
        inside = any(outer in module_call.stack[:-1] for outer in owners)
        if call in owners or inside or type(module_call.module) not in classes:
            continue
        if output := _output_of(graph, call, None):
            blocks.append(Block(output[0], output[1], call))
    return blocks


def _stem(graph: Graph, first: Block) -> Node | None:
    """Find the tensor that enters the first block.

    The fork of the first merge is that tensor only where the skip path is the identity: at the
    transition of a pre-activation network it lies behind the block's first nonlinearity.
    """
    index = graph.module_inputs.get(first.owner) if first.owner else None
    if index is None:
        index = first.merges[0].fork.index if first.merges else None
    node = graph.nodes[index] if index is not None else None
    while node is not None and not node.emitted and node.operation in SHAPE_OPERATIONS:
        node = graph.nodes[node.parents[0]]
    return None if node is None or node.operation == "input" else node


def remarks_on(findings: Findings, taps: dict[Place, TapInfo]) -> Iterator[str]:
    """Say in sentences what looked like a residual network and is shown otherwise."""
    if not any(info.tap is Tap.BLOCK for info in taps.values()):
        yield "no residual merge was found: the plot follows the weighted layers"
    if findings.parallel:
        yield (
            f"sums of parallel branches of equal weight: {len(findings.parallel)}. None of these "
            "branches is a skip path, so they are not drawn as blocks; where they should be, name "
            "them with record(..., blocks=PATTERN)"
        )
    if findings.spanning:
        yield (
            f"sums that join a path around several blocks: {len(findings.spanning)} (as in a U-Net "
            "or a feature pyramid). The plot shows the blocks inside"
        )
    if findings.concatenations:
        yield (
            f"concatenations that join branches: {len(findings.concatenations)}. They are no "
            "residual merges and have no residual branch variance"
        )
