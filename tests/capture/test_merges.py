"""Stem, blocks, residual branches and skip paths are found by provenance, in anyone's network."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import sppkit
from sppkit.capture.tracing.merges import find_merges
from sppkit.models import REFERENCES, build
from tests.cases import (
    BasicBlock,
    DenseBlock,
    FunctionalLoop,
    ParallelBlock,
    PostActivationResNet,
    Recurrent,
    ScaledBranches,
    Tokens,
)


def taps(model, *inputs, **options):
    """Record one pass; give {tap: [(block, stage, layer or layer:operation)]}."""
    with sppkit.record(model, signals=["activation"], **options) as recording:
        model(*inputs)
    table = recording.table()
    found = {}
    for _, row in table[table["tap"] != ""].sort_values(["block", "depth"]).iterrows():
        place = ":".join(part for part in (row["layer"], row["operation"]) if part)
        found.setdefault(row["tap"], []).append((row["block"], row["stage"], place))
    return found, recording


def names(entries):
    return [name for _, _, name in entries]


def test_a_post_activation_resnet_with_in_place_additions():
    found, recording = taps(PostActivationResNet(), torch.randn(2, 3, 16, 16))
    blocks = ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    assert names(found["stem"]) == ["maxpool"]
    assert found["block"] == [
        (1, 1, blocks[0]),
        (2, 1, blocks[1]),
        (3, 2, blocks[2]),
        (4, 2, blocks[3]),
    ]
    assert names(found["residual branch"]) == [f"{block}.bn2" for block in blocks]
    assert names(found["skip path"]) == ["layer2.0.downsample.1"]
    structure = recording.structure().set_index("layer")
    assert structure.loc[blocks, "skip_kind"].tolist() == [
        *("identity", "identity", "projection", "identity")
    ]


def test_blocks_written_in_the_root_are_operations():
    found, _ = taps(FunctionalLoop(), torch.randn(6, 4))
    assert names(found["stem"]) == ["embed"]
    assert names(found["residual branch"]) == [f"relu#{i}" for i in range(1, 6)]
    assert names(found["block"])[:4] == [f"add#{i}" for i in range(1, 5)]
    assert len(found["block"]) == 5


def test_one_constant_one_gain_dropout_and_masks_are_walked_past():
    found, recording = taps(ScaledBranches(), torch.randn(6, 8))
    assert names(found["residual branch"]) == [f"blocks.{i}.branch.2" for i in range(3)]
    ends = recording.structure().query("tap == 'residual branch'")
    assert ends["constant"].tolist() == [0.2] * 3
    assert ends["gains"].tolist() == [f"blocks.{i}.gain" for i in range(3)]
    metadata = recording.metadata["ScaledBranches"]
    assert metadata["silent_residual_gains"] == [f"blocks.{i}.gain" for i in range(3)]


def test_only_one_constant_is_walked_past():
    class SqueezeAndExcite(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(8, 8)

        def forward(self, x):
            return x * torch.sigmoid(self.gate(x))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.f, self.se = nn.Linear(8, 8), SqueezeAndExcite()

        def forward(self, x):
            return x + 0.2 * (2 * self.se(self.f(x)))

    found, recording = taps(nn.Sequential(nn.Linear(8, 8), Block()), torch.randn(6, 8))
    assert names(found["residual branch"]) == ["1:mul#1"]  # the product with 2, before alpha
    assert recording.structure().query("operation == 'mul#1'")["constant"].item() == 0.2


def test_a_branch_divided_by_a_buffer_has_its_inverse_as_the_constant():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Linear(8, 8)
            self.register_buffer("root", torch.tensor(2.0))

        def forward(self, x):
            return x + self.f(x) / self.root

    _, recording = taps(nn.Sequential(nn.Linear(8, 8), Block()), torch.randn(6, 8))
    assert recording.structure().query("tap == 'residual branch'")["constant"].item() == 0.5


def test_a_branch_ends_at_a_reciprocal():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Linear(8, 8)

        def forward(self, x):
            return x + 2.0 / self.f(x)

    found, recording = taps(nn.Sequential(nn.Linear(8, 8), Block()), torch.randn(6, 8))
    assert names(found["residual branch"]) == ["1:div#1"]
    assert recording.structure().query("operation == 'div#1'")["constant"].item() == 1.0


@pytest.mark.parametrize("spelling", ["alpha", "in place", "lerp", "sub", "scalar division"])
def test_other_spellings_of_a_merge(spelling):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))

        def forward(self, x):
            y = self.f(x)
            if spelling == "alpha":
                return torch.add(x, y, alpha=0.3)
            if spelling == "in place":
                y += x
                return y
            if spelling == "lerp":
                return torch.lerp(x, y, 0.3)
            return x - y if spelling == "sub" else (y + x) / 2**0.5

    found, _ = taps(nn.Sequential(nn.Linear(8, 8), Block(), Block()), torch.randn(6, 8))
    assert names(found["block"]) == ["1", "2"]
    assert names(found["residual branch"]) == ["1.f.2", "2.f.2"]


def test_a_pre_norm_transformer_layer_is_one_block_with_two_branches():
    found, _ = taps(Tokens(), torch.randint(11, (3, 5)))
    assert names(found["block"]) == ["encoder.layers.0", "encoder.layers.1"]
    assert found["residual branch"] == [
        (1, 1, "encoder.layers.0.self_attn"),
        (1, 1, "encoder.layers.0.linear2"),
        (2, 1, "encoder.layers.1.self_attn"),
        (2, 1, "encoder.layers.1.linear2"),
    ]
    assert names(found["stem"]) == ["embedding"]


def test_a_post_norm_transformer_is_found_too():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found, _ = taps(nn.TransformerEncoder(layer, 3), torch.randn(2, 5, 8))
    assert names(found["block"]) == [f"layers.{i}" for i in range(3)]
    assert len(found["residual branch"]) == 6


def test_two_branches_that_share_a_norm_join_one_merge():
    found, _ = taps(nn.Sequential(nn.Linear(8, 8), ParallelBlock()), torch.randn(2, 5, 8))
    assert names(found["block"]) == ["1"]
    assert names(found["residual branch"]) == ["1.attention", "1.mlp.2"]


def test_a_stacked_sum_is_a_merge():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return torch.stack([x, self.a(x), self.b(x)]).sum(0)

    found, _ = taps(nn.Sequential(nn.Linear(8, 8), Block()), torch.randn(6, 8))
    assert names(found["residual branch"]) == ["1.a", "1.b"]


def test_blocks_without_a_skip_path_count_among_their_siblings():
    class Mobile(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.f = nn.Sequential(nn.Linear(inputs, 16), nn.SiLU(), nn.Linear(16, outputs))
            self.skips = inputs == outputs

        def forward(self, x):
            return x + self.f(x) if self.skips else self.f(x)

    model = nn.Sequential(nn.Linear(4, 8), Mobile(8, 8), Mobile(8, 12), Mobile(12, 12))
    found, _ = taps(model, torch.randn(6, 4))
    assert found["block"] == [(1, 1, "1"), (2, 2, "2"), (3, 2, "3")]
    assert names(found["residual branch"]) == ["1.f.2", "3.f.2"]


def test_a_network_inside_one_global_skip_path_shows_its_inner_blocks():
    class Restoration(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Conv2d(3, 3, 3, padding=1)
            self.body = nn.Sequential(*[BasicBlock(3, 3) for _ in range(3)])

        def forward(self, x):
            x = self.head(x)
            return x + self.body(x)

    found, _ = taps(Restoration(), torch.randn(2, 3, 8, 8))
    assert names(found["block"]) == [f"body.{i}" for i in range(3)]


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (nn.Sequential(nn.Linear(8, 8), nn.GELU(approximate="tanh")), torch.randn(6, 8)),
        (Recurrent(), torch.randn(3, 5, 8)),
        (nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(6, 8)),
    ],
    ids=["tanh-GELU", "LSTM", "MLP"],
)
def test_networks_without_a_merge_have_no_taps_and_say_so(model, inputs):
    found, recording = taps(model, inputs)
    assert found == {}
    assert any("no residual merge" in remark for remark in _remarks(recording))


def _remarks(recording):
    return [remark for entry in recording.metadata.values() for remark in entry["remarks"]]


def test_arithmetic_of_rotary_kind_is_no_merge():
    class Rotary(nn.Module):
        def __init__(self):
            super().__init__()
            self.q = nn.Linear(8, 8)
            self.register_buffer("cos", torch.rand(8))

        def forward(self, x):
            q = self.q(x)
            return q * self.cos + q.roll(1, -1) * self.cos

    found, _ = taps(Rotary(), torch.randn(6, 8))
    assert found == {}


def test_highway_gates_are_reported_as_parallel_branches():
    class Highway(nn.Module):
        def __init__(self):
            super().__init__()
            self.h, self.t = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            t = torch.sigmoid(self.t(x))
            return t * torch.tanh(self.h(x)) + (1 - t) * F.relu(self.h(x))

    _, recording = taps(nn.Sequential(nn.Linear(8, 8), Highway()), torch.randn(6, 8))
    assert any("parallel branches" in remark for remark in _remarks(recording))


def test_dense_blocks_are_reported_as_concatenations():
    found, recording = taps(DenseBlock(), torch.randn(2, 3, 8, 8))
    assert "block" not in found
    assert any("concatenations" in remark for remark in _remarks(recording))


def test_a_pattern_overrides_what_provenance_finds():
    found, _ = taps(
        PostActivationResNet(),
        torch.randn(2, 3, 16, 16),
        blocks="layer?.?",
        residual_branches="*.conv2",
        stem="conv1",
    )
    assert names(found["stem"]) == ["conv1"]
    assert names(found["residual branch"]) == [
        *("layer1.0.conv2", "layer1.1.conv2", "layer2.0.conv2", "layer2.1.conv2")
    ]
    assert [block for block, _, _ in found["residual branch"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("reference", [r for r in REFERENCES if r.is_small], ids=lambda r: r.name)
def test_every_small_reference_network_has_its_blocks_found(reference):
    model = build(reference.name)
    found, recording = taps(model, torch.randn(2, *reference.input_size))
    owners = [
        m for m in model.modules() if {"branch", "branches"} & {n for n, _ in m.named_children()}
    ]
    # an inverted bottleneck that changes the size has a branch and no skip path
    merging = [m for m in owners if getattr(m, "skips", True)]
    branches = sum(len(getattr(m, "branches", [None])) for m in merging)
    assert len(found.get("block", [])) == len(owners)
    assert len(found.get("residual branch", [])) == branches
    if owners:
        assert all(".branch" in name for name in names(found["residual branch"]))
        assert names(found["stem"])[0].startswith("stem")
    assert not [m for m in recording.not_captured if "failed" in m.reason]


def test_the_graph_keeps_no_activation_alive():
    import gc
    import weakref

    from sppkit.capture.calls.watch import Watch
    from sppkit.capture.tracing.tracer import Tracer

    model = FunctionalLoop()
    tracer = Tracer(model)
    seen = []

    class Spy:
        def begin(self, *_):
            pass

        def operation(self, call, label, function, args, kwargs, result):
            pass

        def output(self, call, args, output):
            seen.append(weakref.ref(output))

        def recomputed(self, layer, output):
            pass

        def end(self, completed):
            pass

    watch = Watch(model, [tracer, Spy()], operations=True, on_missing=lambda *_: None)
    watch.attach()
    with torch.no_grad():
        model(torch.randn(6, 4))
    watch.detach()
    gc.collect()
    assert len(find_merges(tracer.graph).merges) == 5
    assert not [reference for reference in seen if reference() is not None]


def test_a_post_norm_layer_whose_attention_owns_its_merge_is_one_block():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.f, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

        def forward(self, x, skip):
            return self.norm(self.f(x) + skip)

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.output = Residual(), Residual()
            self.intermediate = nn.Linear(8, 8)

        def forward(self, x):
            x = self.attention(x, x)
            return self.output(F.gelu(self.intermediate(x)), x)

    found, _ = taps(nn.Sequential(nn.Linear(8, 8), Layer(), Layer()), torch.randn(2, 5, 8))
    assert names(found["block"]) == ["1", "2"]
    assert [block for block, _, _ in found["residual branch"]] == [1, 1, 2, 2]


def test_an_encoder_is_no_part_of_the_branches_of_the_decoder_that_reads_it():
    transformer = nn.Transformer(8, 2, 2, 2, 16, batch_first=True)
    found, _ = taps(transformer, torch.randn(2, 5, 8), torch.randn(2, 4, 8))
    layers = ["encoder.layers.0", "encoder.layers.1", "decoder.layers.0", "decoder.layers.1"]
    assert names(found["block"]) == layers
    assert len(found["residual branch"]) == 2 * 2 + 2 * 3


class Pyramid(nn.Module):
    """A path around two of four blocks, as in a U-Net or a feature pyramid."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*[BasicBlock(4, 4) for _ in range(4)])
        self.stem, self.lateral = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        early = self.blocks[:2](self.stem(x))
        return self.blocks[2:](early) + self.lateral(early)


def test_a_path_around_several_blocks_is_no_block():
    found, recording = taps(Pyramid(), torch.randn(2, 3, 8, 8))
    assert names(found["block"]) == [f"blocks.{i}" for i in range(4)]
    assert any("path around several blocks: 1" in remark for remark in _remarks(recording))


def test_a_batch_that_is_filled_picture_by_picture_is_followed():
    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = PostActivationResNet()

        def forward(self, pictures):
            batch = pictures[0].new_full((len(pictures), 3, 16, 16), 0.0)
            for row, picture in zip(batch, pictures, strict=True):
                row[:, : picture.shape[1], : picture.shape[2]].copy_(picture)
            return self.body(batch)

    found, _ = taps(Detector(), [torch.randn(3, 16, 12), torch.randn(3, 10, 16)])
    assert len(found["block"]) == 4


def test_a_block_that_is_called_again_is_a_block_each_time():
    class Repeated(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.block = nn.Conv2d(3, 4, 3, padding=1), BasicBlock(4, 4)

        def forward(self, x):
            x = self.stem(x)
            for _ in range(3):
                x = self.block(x)
            return x

    found, recording = taps(Repeated(), torch.randn(2, 3, 8, 8))
    assert found["block"] == [(number, 1, "block") for number in (1, 2, 3)]
    assert recording.table().query("tap == 'block'")["call"].tolist() == [0, 1, 2]
