"""The scale of attention logits, put into the weights that make the queries."""

import math
import re
from dataclasses import dataclass

import torch
from torch import nn

from sppkit.init.layers import weighted_layers
from sppkit.patterns import Patterns, matcher, require_match

_AROUND = r"(?:w|to|fc|lin|linear|proj|projection|layer|dense)*"
_QUERIES = re.compile(rf"{_AROUND}(?:q|query|queries){_AROUND}")
_FUSED = re.compile(rf"{_AROUND}(qkv|qvk|kqv|kvq|vqk|vkq|querykeyvalue|inproj|cattn){_AROUND}")
_HEADS = ("num_heads", "n_heads", "n_head", "num_attention_heads", "nhead", "heads", "h")


@dataclass(frozen=True)
class QueryProjection:
    """Where the queries of an attention come from.

    Attributes:
        layer: name of the linear layer.
        rows: how many of its outputs are queries.
        head_dimension: of one head.
        first: the first of these outputs.
    """

    layer: str
    rows: int
    head_dimension: int
    first: int = 0


def query_projections(
    model: nn.Module, layers: Patterns | None = None
) -> tuple[QueryProjection, ...]:
    """Find the linear layers that make queries, by the names that implementations give them.

    A layer called `q`, `query`, `q_proj`, `to_q`, `Wq`, ... makes queries; one called `qkv`, `kqv`,
    `in_proj`, `c_attn`, `to_qkv`, ... with three times as many outputs as inputs makes queries,
    keys and values, in the order of these letters (else in this one). The number of heads is that
    attribute of the owner (`num_heads`, `n_heads`, `heads`, ...), 1 where it has none.
    `nn.MultiheadAttention` scales by itself.

    Args:
        model: any module.
        layers: names or patterns of attention modules or of the layers themselves; None takes all.

    Raises:
        ValueError: a pattern matches no module.
    """
    if layers is not None:
        require_match("layers", layers, dict(model.named_modules()))
    found = (_as_projection(model, name, module) for name, module in weighted_layers(model).items())
    return tuple(p for p in found if p and _is_chosen(p.layer, layers))


def scale_attention(
    model: nn.Module, factor: float | None = None, *, layers: Patterns | None = None
) -> tuple[QueryProjection, ...]:
    """Multiply attention logits by a factor, by multiplying the layers that make the queries.

        q <- f q  with  f = 1 / sqrt(d),   so that   q·k <- q·k / sqrt(d)

    d is the dimension of one head. With independent queries and keys of unit variance the logits
    q·k have variance d, and softmax saturates; divided by sqrt(d) they have variance 1 (Vaswani et
    al., 2017, Attention is all you need, arXiv 1706.03762, section 3.2.1, footnote 4).

    Args:
        model: any module; whether it divides by sqrt(d) already is not looked at.
        factor: f; None is 1/sqrt(d) of each layer.
        layers: names or patterns of attention modules or of the layers themselves; None takes all.

    Returns:
        The layers that were changed; none where no layer has the name of one that makes queries.

    Raises:
        ValueError: the factor is 0 or not finite, or a pattern matches no module.
    """
    if factor is not None and (not math.isfinite(factor) or factor == 0):
        raise ValueError(f"factor={factor} must be finite and not 0")
    projections = query_projections(model, layers)
    for projection in projections:
        module = model.get_submodule(projection.layer)
        rows = slice(projection.first, projection.first + projection.rows)
        _scale_rows(module, rows, factor or projection.head_dimension**-0.5)
    return projections


@torch.no_grad()
def _scale_rows(module: nn.Module, rows: slice, factor: float) -> None:
    for tensor in (module._parameters["weight"], module._parameters.get("bias")):
        if tensor is not None:
            tensor[rows] *= factor


def _as_projection(model: nn.Module, name: str, module: nn.Module) -> QueryProjection | None:
    owner, _, own = name.rpartition(".")
    weight = module._parameters.get("weight")
    if not isinstance(module, nn.Linear) or weight is None:
        return None
    outputs, plain = weight.shape[0], re.sub(r"[_\d]", "", own.lower())
    fused = _FUSED.fullmatch(plain)
    if fused and outputs == 3 * weight.shape[1]:
        rows = outputs // 3
        first = max(fused[1].find("q"), 0) * rows if len(fused[1]) == 3 else 0
    elif _QUERIES.fullmatch(plain):
        rows, first = outputs, 0
    else:
        return None
    heads = _heads(model.get_submodule(owner), rows)
    return QueryProjection(name, rows, rows // heads, first)


def _heads(owner: nn.Module, rows: int) -> int:
    for name in _HEADS:
        number = getattr(owner, name, None)
        if isinstance(number, int) and number > 0 and rows % number == 0:
            return number
    return 1


def _is_chosen(layer: str, layers: Patterns | None) -> bool:
    matches = matcher(layers)
    return matches is None or matches(layer) or matches(layer.rpartition(".")[0])
