"""The graph of one forward pass: which tensor came from which, through what, in which module.

Every operation on the network's data is a `Node`; parameters and constants have none. A `Tracer`
builds it.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sppkit.capture.calls.module_call import ModuleCall
from sppkit.capture.calls.places import Place
from sppkit.capture.tensors.channel_axis import Shape, axis_read

SHAPE_OPERATIONS = frozenset(
    {
        *("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute"),
        *("transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t", "T", "mT", "contiguous"),
        *("expand", "expand_as", "repeat", "getitem", "view_as", "reshape_as", "narrow", "select"),
        *("chunk", "split", "unbind", "clone", "detach", "data", "pad", "roll", "flip", "unfold"),
        *("index_select", "gather", "as_strided", "to_dense", "to_padded_tensor"),
        *("_nested_tensor_from_mask",),
    }
)
CASTS = frozenset({"to", "type", "type_as", "float", "half", "bfloat16", "double", "cuda", "cpu"})
DROPOUTS = frozenset(
    {
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout"),
        *("alpha_dropout", "feature_alpha_dropout"),
    }
)
RANDOM_OPERATIONS = DROPOUTS | {
    *("bernoulli", "rand", "randn", "rand_like", "randn_like", "randint", "randint_like"),
    *("normal", "uniform", "exponential", "randperm", "multinomial", "poisson"),
}
NORMALISATIONS = frozenset(
    {
        *("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"),
        *("local_response_norm",),
    }
)
NONLINEARITIES = frozenset(
    {
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu"),
        *("sigmoid", "tanh", "softplus", "softsign", "logsigmoid", "hardswish", "hardsigmoid"),
        *("mish", "hardtanh", "threshold", "tanhshrink", "softmax", "log_softmax", "glu", "clamp"),
        *("sign", "hardshrink", "softshrink"),
    }
)


class Factor(NamedTuple):
    """What a product or quotient multiplies its one data operand with.

    Attributes:
        kind: "constant", "gain" (a learned scalar, or one value per channel), "mask" (random) or
            "other" (anything else that is no data).
        value: the constant, where it is a plain number.
        parameter: name of the parameter behind a gain, where it is used as it is stored.
    """

    kind: str
    value: float | None = None
    parameter: str | None = None


@dataclass(slots=True)
class Node:
    """One operation on the network's data.

    Attributes:
        index: rank in order of execution.
        operation: canonical name; "input" for arguments, "module" where nothing was seen inside.
        parents: indices of the data operands, in order.
        ancestors: bit set of indices, the node's own included.
        uses_parameter: whether a parameter, or what was computed from one, is an operand.
        place: the functional call.
        stack: the module calls it ran in, outermost first.
        shape, axis: of the result; axis None where undecided.
        alpha: what a sum multiplies its last operand with, and an interpolation too (the first one
            with 1 - alpha); None where it is not known on the host, and elsewhere.
        emitted: places of the module outputs that are this node's tensor, innermost first.
    """

    index: int
    operation: str
    parents: tuple[int, ...]
    ancestors: int
    uses_parameter: bool
    place: Place
    stack: tuple[tuple[str, int], ...]
    shape: Shape
    axis: int | None
    factor: Factor | None = None
    alpha: float | None = None
    emitted: list[Place] = field(default_factory=list)

    @property
    def output_place(self) -> Place:
        """The module output that first showed this tensor, else the operation."""
        return self.emitted[0] if self.emitted else self.place


class Graph:
    """The nodes of one pass, in order of execution."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.module_inputs: dict[tuple[str, int], int] = {}
        self.calls: dict[tuple[str, int], ModuleCall] = {}

    def add(self, operation: str, parents: tuple[int, ...], **details: Any) -> Node:
        """Append a node; its ancestors are its parents' and itself."""
        index = len(self.nodes)
        ancestors = 1 << index
        for parent in parents:
            ancestors |= self.nodes[parent].ancestors
        node = Node(index, operation, parents, ancestors, **details)
        self.nodes.append(node)
        return node

    def children(self) -> list[list[int]]:
        """Give for each node the nodes that read it."""
        readers: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for parent in node.parents:
                readers[parent].append(node.index)
        return readers

    def decide_axes_by_readers(self) -> dict[Place, int]:
        """Let what reads a tensor decide its channel axis where its origin did not.

        Returns:
            The axes found, by the places of module outputs.
        """
        found = dict[Place, int]()
        children = self.children()
        for node in reversed(self.nodes):
            if node.axis is None:
                readers = [self.nodes[index] for index in children[node.index]]
                node.axis = next(filter(None, (_axis_in(node, r) for r in readers)), None)
                found |= {place: node.axis for place in node.emitted if node.axis is not None}
        return found


def _axis_in(node: Node, reader: Node) -> int | None:
    """Give the axis that a reader takes for the channels, or that of a result of equal shape."""
    axis = axis_read(reader.operation, len(node.shape)) if reader.parents[0] == node.index else None
    return reader.axis if axis is None and reader.shape == node.shape else axis
