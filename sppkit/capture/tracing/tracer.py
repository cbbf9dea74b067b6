"""A listener that follows the tensors of one pass and builds their graph.

Tensors are known by identity through weak references, so tracing keeps no activation alive, and an
operation that writes in place moves its tensor on to a new node.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils.weak import WeakTensorKeyDictionary

from sppkit.capture.calls.functional import canonical_name
from sppkit.capture.calls.module_call import ModuleCall
from sppkit.capture.calls.places import Place, every_tensor, shape_of, tensors_in
from sppkit.capture.tensors.channel_axis import Shape, axis_after, axis_of_module_output
from sppkit.capture.tracing.axis_sources import axis_sources
from sppkit.capture.tracing.graph import RANDOM_OPERATIONS, Factor, Graph, Node

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
        name = _kind_of(label.partition("#")[0], args, kwargs)
        writes = function is torch.Tensor.__setitem__  # returns nothing, changes its subject
        results = list(every_tensor(args))[:1] if writes else list(every_tensor(result))
        if not results:
            return
        operands = list(every_tensor((args, kwargs)))
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
                axis_sources(function, args, kwargs, parents[0].shape),
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
        inputs = self._data(list(every_tensor(args)))
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
        operands = list(every_tensor((args, kwargs)))
        if not operands or not self._is_parameter(result) or any(map(is_lazy, (*operands, result))):
            return
        layouts = [(tuple(t.shape), self._axes_without_data.get(t, None)) for t in operands]
        sources = axis_sources(function, args, kwargs, layouts[0][0])
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


def _kind_of(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> str:
    """Give the operation that a call is: nn.ReLU6 calls the function of Hardtanh."""
    if name != "hardtanh":
        return name
    given = dict(zip(("input", "min_val", "max_val"), args, strict=False)) | kwargs
    return "relu6" if (given.get("min_val"), given.get("max_val")) == (0.0, 6.0) else name


def _constant(name: str, other: float) -> float:
    """Give what a product or quotient with a number multiplies by."""
    if name == "mul":
        return float(other)
    return 1.0 / other if other else math.inf


def _same_layout(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.stride() == other.stride()


def _layouts(nodes: list[Node]) -> list[tuple[Shape, int | None]]:
    return [(node.shape, node.axis) for node in nodes]


def _alpha(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> float | None:
    """Give the factor of the second operand of a sum or of an interpolation."""
    if name not in ("add", "sub", "lerp"):
        return None
    keyword, usual = ("weight", None) if name == "lerp" else ("alpha", 1)
    alpha = kwargs.get(keyword, args[2] if len(args) > 2 else usual)
    return float(alpha) if isinstance(alpha, int | float) else None
