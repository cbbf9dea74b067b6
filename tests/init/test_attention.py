"""The scale of attention logits by the weights of the queries."""

import pytest
import torch
from torch import nn

from sppkit.init import query_projections, scale_attention


class Attention(nn.Module):
    """Self-attention that leaves the division by sqrt(d) out."""

    def __init__(self, width=32, heads=4, names=("q_proj", "k_proj", "v_proj")):
        super().__init__()
        self.num_heads = heads
        self.names = names
        for name in names:
            self.add_module(name, nn.Linear(width, width))

    def logits(self, x):
        q, k = (getattr(self, name)(x) for name in self.names[:2])
        q, k = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (q, k))
        return q @ k.mT

    def forward(self, x):
        v = getattr(self, self.names[2])(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return (self.logits(x).softmax(-1) @ v).transpose(1, 2).flatten(2)


class Fused(nn.Module):
    def __init__(self, width=32, heads=4):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)

    def logits(self, x):
        q, k, _ = self.qkv(x).chunk(3, -1)
        q, k = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k))
        return q @ k.mT


@pytest.mark.parametrize("build", [Attention, Fused])
def test_logits_are_divided_by_the_root_of_the_dimension_of_a_head(build):
    torch.manual_seed(0)
    attention, x = build(), torch.randn(2, 5, 32)
    before = attention.logits(x)
    (done,) = scale_attention(attention)
    assert (done.rows, done.head_dimension) == (32, 8)
    assert torch.allclose(attention.logits(x), before / 8**0.5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "first"), [("qkv", 0), ("kqv", 32), ("to_kvq", 64), ("in_proj", 0), ("Wqkv", 0)]
)
def test_the_order_of_a_fused_projection_is_that_of_its_letters(name, first):
    attention = nn.Module()
    attention.add_module(name, nn.Linear(32, 96))
    before = getattr(attention, name).weight.detach().clone()
    scale_attention(attention, 0.5)
    changed = (getattr(attention, name).weight != before).all(1).nonzero().flatten()
    assert changed.tolist() == list(range(first, first + 32))


@pytest.mark.parametrize("name", ["q", "Wq", "fc_q", "query_layer", "linear_query", "to_queries"])
def test_a_layer_that_makes_queries_is_known_by_its_name(name):
    owner = nn.Module()
    owner.add_module(name, nn.Linear(4, 4))
    assert [p.layer for p in query_projections(owner)] == [name]


@pytest.mark.parametrize("name", ["k_proj", "sequence", "quantiser", "freq", "qkv", "proj"])
def test_other_layers_are_not_taken_for_one(name):
    owner = nn.Module()
    owner.add_module(name, nn.Linear(4, 4))
    assert query_projections(owner) == ()


def test_a_factor_of_the_callers_is_used_instead():
    attention, x = Attention(), torch.randn(2, 5, 32)
    before = attention.logits(x)
    scale_attention(attention, 0.25)
    assert torch.allclose(attention.logits(x), before / 4, rtol=1e-4, atol=1e-6)


def test_keys_and_values_stay_as_they_were():
    attention = Fused()
    before = attention.qkv.weight.detach().clone()
    scale_attention(attention)
    assert torch.equal(attention.qkv.weight[32:], before[32:])
    assert not torch.equal(attention.qkv.weight[:32], before[:32])


def test_without_a_number_of_heads_there_is_one():
    attention = Attention()
    del attention.num_heads
    assert query_projections(attention)[0].head_dimension == 32


def test_one_attention_of_several_is_chosen_by_its_name():
    model = nn.ModuleDict({"first": Attention(), "second": Attention()})
    assert [p.layer for p in query_projections(model, "second")] == ["second.q_proj"]
    assert [p.layer for p in query_projections(model)] == ["first.q_proj", "second.q_proj"]


def test_layers_of_other_names_are_not_guessed_at():
    assert scale_attention(Attention(names=("a", "b", "c"))) == ()
    assert scale_attention(nn.MultiheadAttention(8, 2)) == ()


def test_a_factor_of_zero_is_refused():
    with pytest.raises(ValueError, match="must be finite and not 0"):
        scale_attention(Attention(), 0.0)
