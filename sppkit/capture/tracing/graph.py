"""The graph of one forward pass: which tensor came from which, through what, in which module.

`Tracer` listens to a watch and builds it. Every operation on the network's data becomes a `Node`;
parameters and constants have none. Tensors are known by identity through weak references, so
tracing keeps no activation alive, and an operation that writes in place moves its tensor on to a
new node.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils.weak import WeakTensorKeyDictionary

from sppkit.capture.calls.places import Place, shape_of, tensors_in
from sppkit.capture.calls.watch import ModuleCall, canonical_name
from sppkit.capture.tensors.channel_axis import (
    PERMUTATIONS,
    REDUCTIONS,
    Shape,
    axis_after,
    axis_of_module_output,
    axis_read,
)

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


_PARAMETER = -1  # computed from parameters alone
_RANDOM = -2  # drawn, or computed from what was drawn


class Tracer:
    """A listener that builds the graph of the pass it hears.

    Args:
        model: names the parameters; it is not kept.
    """

    def __init__(self, model: nn.Module) -> None:
        self.graph = Graph()
        named = model.named_parameters(remove_duplicate=False)
        self._parameter_names = {id(parameter): name for name, parameter in named}
        self._origin: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._axes_without_data: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def node_of(self, tensor: torch.Tensor) -> Node | None:
        """Find the node whose result a tensor is.

        A module sharded by `fully_shard` is given views of its inputs, made where nothing is seen.
        """
        index = self._origin.get(tensor, None)
        if index is None and (base := tensor._base) is not None and _same_layout(base, tensor):
            index = self._origin.get(base, None)
        return None if index is None or index < 0 else self.graph.nodes[index]

    def axis_of(self, tensor: torch.Tensor) -> int | None:
        """Give the channel axis of a tensor, of one computed from parameters alone too."""
        node = self.node_of(tensor)
        axis: int | None = node.axis if node else self._axes_without_data.get(tensor, None)
        return axis

    def begin(self, root: ModuleCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Start afresh; the arguments are the first nodes."""
        self.graph = Graph()
        self._origin = WeakTensorKeyDictionary()
        self._axes_without_data = WeakTensorKeyDictionary()
        for parameter in root.module.parameters():  # others than the model's in a functional_call
            self._origin[parameter] = _PARAMETER
        for path, tensor in tensors_in((args, kwargs)):
            place = Place(root.layer, root.index, "input", path)
            self._bind(tensor, self._add("input", (), tensor, place, ()))

    def operation(
        self,
        call: ModuleCall,
        label: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: object,
    ) -> None:
        """Add the node of a functional call, where one of its operands descends from the input."""
        name = label.partition("#")[0]
        writes = function is torch.Tensor.__setitem__  # returns nothing, changes its subject
        results = list(_tensors(args))[:1] if writes else list(_tensors(result))
        if not results:
            return
        operands = list(_tensors((args, kwargs)))
        makes_new = name.startswith("new_") or name.endswith("_like")
        parents = [] if makes_new else self._data(operands)
        if not parents:
            self._mark_origin(name, operands, results)
            self._follow_axis(function, args, kwargs, results[0])
            return
        place = Place(call.layer, call.index, label)
        shape = shape_of(results[0])
        node = self.graph.add(
            name,
            tuple(dict.fromkeys(parent.index for parent in parents)),
            uses_parameter=any(self._is_parameter(operand) for operand in operands),
            place=place,
            stack=call.stack,
            shape=shape,
            axis=axis_after(
                name,
                [(parent.shape, parent.axis) for parent in parents],
                shape,
                _axis_sources(function, args, kwargs, parents[0].shape),
            ),
            factor=None if _is_no_factor(function, kwargs) else self._factor(name, args, parents),
            alpha=_alpha(name, args, kwargs),
        )
        for tensor in results:
            self._bind(tensor, node)
        self._fill_base(results[0], node)

    def _fill_base(self, view: torch.Tensor, node: Node) -> None:
        """Note that a new tensor was filled through a view of it, as a batch of pictures is."""
        base = None if view.is_inference() else view._base
        if base is None or node.operation != "copy" or self.node_of(base) is not None:
            return
        filled = self._add("setitem", (node.index,), base, node.place, node.stack)
        filled.axis = node.axis if len(node.shape) == base.dim() else filled.axis
        self._bind(base, filled)

    def output(self, call: ModuleCall, args: tuple[Any, ...], output: object) -> None:
        """Note which nodes a module call returned; an unseen one becomes an opaque node."""
        key = (call.layer, call.index)
        self.graph.calls[key] = call
        inputs = self._data(list(_tensors(args)))
        if inputs:
            self.graph.module_inputs[key] = inputs[0].index
        for path, tensor in tensors_in(output):
            place = Place(call.layer, call.index, "", path)
            node = self.node_of(tensor)
            if node is None and not self._is_parameter(tensor):
                node = self._opaque(call, inputs, tensor, place)
            if node is not None:
                node.emitted.append(place)

    def recomputed(self, layer: str, output: object) -> None:
        """A repeated call is the same node."""

    def end(self, completed: bool) -> None:
        """Nothing is left to do."""

    def _opaque(
        self, call: ModuleCall, inputs: list[Node], tensor: torch.Tensor, place: Place
    ) -> Node:
        """Stand for what a module did unseen (a custom autograd function, a C++ operator)."""
        shape = shape_of(tensor)
        axis = axis_of_module_output(call.module, len(shape))
        node = self.graph.add(
            "module",
            tuple(dict.fromkeys(parent.index for parent in inputs)),
            uses_parameter=any(True for _ in call.module.parameters()),
            place=place,
            stack=call.stack,
            shape=shape,
            axis=axis if axis is not None else axis_after("module", _layouts(inputs), shape),
        )
        self._bind(tensor, node)
        return node

    def _add(
        self,
        operation: str,
        parents: tuple[int, ...],
        tensor: torch.Tensor,
        place: Place,
        stack: tuple[tuple[str, int], ...],
    ) -> Node:
        shape = shape_of(tensor)
        return self.graph.add(
            operation,
            parents,
            uses_parameter=False,
            place=place,
            stack=stack,
            shape=shape,
            axis=1 if len(shape) == 2 else None,
        )

    def _bind(self, tensor: torch.Tensor, node: Node) -> None:
        self._origin[tensor] = node.index

    def _data(self, tensors: list[torch.Tensor]) -> list[Node]:
        nodes = [self.node_of(tensor) for tensor in tensors]
        return [node for node in nodes if node is not None]

    def _is_parameter(self, tensor: torch.Tensor) -> bool:
        return isinstance(tensor, nn.Parameter) or self._origin.get(tensor, None) == _PARAMETER

    def _mark_origin(
        self, name: str, operands: list[torch.Tensor], results: list[torch.Tensor]
    ) -> None:
        """Remember what was computed from parameters or drawn at random, without the data."""
        drawn = any(self._origin.get(operand, None) == _RANDOM for operand in operands)
        for tensor in results:
            if name in RANDOM_OPERATIONS or drawn:
                self._origin[tensor] = _RANDOM
            elif any(self._is_parameter(operand) for operand in operands):
                self._origin[tensor] = _PARAMETER

    def _follow_axis(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: torch.Tensor,
    ) -> None:
        """Follow the channels through what is computed from parameters: a table of positions."""
        operands = list(_tensors((args, kwargs)))
        if not operands or not self._is_parameter(result) or any(map(is_lazy, (*operands, result))):
            return
        layouts = [(tuple(t.shape), self._axes_without_data.get(t, None)) for t in operands]
        sources = _axis_sources(function, args, kwargs, layouts[0][0])
        axis = axis_after(canonical_name(function), layouts, tuple(result.shape), sources)
        self._axes_without_data[result] = axis

    def _factor(self, name: str, args: Sequence[Any], data: list[Node]) -> Factor | None:
        """Say what a product with exactly one data operand multiplies it with."""
        if name not in ("mul", "div") or len(data) != 1 or len(args) < 2:
            return None
        other = next(a for a in args[:2] if not isinstance(a, torch.Tensor) or not self.node_of(a))
        if name == "div" and other is args[0]:
            return Factor("other")  # the data divide it
        if isinstance(other, int | float):
            return Factor("constant", _constant(name, other))
        if not isinstance(other, torch.Tensor):
            return Factor("other")
        return self._tensor_factor(name, other, data[0])

    def _tensor_factor(self, name: str, other: torch.Tensor, data: Node) -> Factor:
        if self._origin.get(other, None) == _RANDOM:
            return Factor("mask")
        if self._is_parameter(other):
            channels = 1 if data.axis is None else data.shape[data.axis]
            is_gain = other.numel() in (1, channels)
            parameter = self._parameter_names.get(id(other))
            return Factor("gain", parameter=parameter) if is_gain else Factor("other")
        on_host = other.numel() == 1 and other.device.type == "cpu"
        return Factor("constant", _constant(name, float(other)) if on_host else None)


_DIVIDED_BY_DATA = frozenset({"__rdiv__", "__rtruediv__"})


def _is_no_factor(function: Callable[..., Any], kwargs: dict[str, Any]) -> bool:
    """Say whether a quotient is no multiple of its data: 2 / x, or one that is rounded."""
    divided = getattr(function, "__name__", "") in _DIVIDED_BY_DATA
    return divided or kwargs.get("rounding_mode") is not None


def _constant(name: str, other: float) -> float:
    """Give what a product or quotient with a number multiplies by."""
    if name == "mul":
        return float(other)
    return 1.0 / other if other else math.inf


def _same_layout(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.stride() == other.stride()


def _tensors(value: object) -> Iterator[torch.Tensor]:
    return (tensor for _, tensor in tensors_in(value))


def _layouts(nodes: list[Node]) -> list[tuple[Shape, int | None]]:
    return [(node.shape, node.axis) for node in nodes]


def _alpha(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> float | None:
    """Give the factor of the second operand of a sum or of an interpolation."""
    if name not in ("add", "sub", "lerp"):
        return None
    keyword, usual = ("weight", None) if name == "lerp" else ("alpha", 1)
    alpha = kwargs.get(keyword, args[2] if len(args) > 2 else usual)
    return float(alpha) if isinstance(alpha, int | float) else None


def _axis_sources(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], shape: Shape
) -> list[int] | None:
    """Say which axis of the operand each axis of the result is; -1 for one that is new.

    The operation itself is asked, on a tensor whose sizes name its axes. None where it makes new
    values of them (a reshape, a product).
    """
    name = canonical_name(function)
    if name == "getitem":
        return _indexed_axes(args[1], len(shape))
    others = {key: value for key, value in kwargs.items() if key not in ("input", "self")}
    if name not in PERMUTATIONS | REDUCTIONS or any(_tensors((args[1:], others))):
        return None
    named = torch.empty(tuple(range(2, 2 + len(shape))), device="meta")
    result = next(_tensors(function(named, *args[1:], **others)))
    return [size - 2 if size > 1 else -1 for size in result.shape]


def _indexed_axes(index: object, dimensions: int) -> list[int] | None:
    """Follow the axes through an index of integers, slices, None and an ellipsis."""
    items = list(index) if isinstance(index, tuple) else [index]
    plain = int | slice | EllipsisType | None
    if not all(isinstance(item, plain) and not isinstance(item, bool) for item in items):
        return None
    taken = sum(isinstance(item, int | slice) for item in items)
    if not any(item is Ellipsis for item in items):
        items.append(Ellipsis)
    sources, axis = list[int](), 0
    for item in items:
        if item is None:
            sources.append(-1)
        elif item is Ellipsis:
            sources += range(axis, axis + dimensions - taken)
            axis += dimensions - taken
        else:
            sources += [axis] * isinstance(item, slice)
            axis += 1
    return sources
