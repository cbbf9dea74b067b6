"""What is expected of known architectures: counted in their papers or in their code by hand."""

from typing import NamedTuple

from tests.zoo.comparison import Outcome


class Expectation(NamedTuple):
    """The topology of one architecture; None where nothing is expected.

    Attributes:
        merges: of the drawn level.
        blocks: in the plot.
        branches: ends of residual branches in the plot.
        concatenations: at least so many.
        why: where the numbers are from.
    """

    merges: int | None = None
    blocks: int | None = None
    branches: int | None = None
    concatenations: int = 0
    why: str = ""

    def is_met(self, outcome: Outcome) -> bool:
        """Say whether an outcome is as expected."""
        pairs = (
            (self.merges, outcome.drawn),
            (self.blocks, outcome.blocks),
            (self.branches, outcome.branches),
        )
        equal = all(wanted is None or wanted == found for wanted, found in pairs)
        return equal and outcome.concatenations >= self.concatenations


EXPECTATIONS: dict[tuple[str, str], Expectation] = {
    ("timm", "resnet50"): Expectation(16, 16, 16, why="3 + 4 + 6 + 3 bottlenecks"),
    ("timm", "nf_resnet50"): Expectation(16, 16, 16, why="3 + 4 + 6 + 3 bottlenecks"),
    ("timm", "dm_nfnet_f0"): Expectation(12, 12, 12, why="1 + 2 + 6 + 3 blocks"),
    ("timm", "convnext_atto"): Expectation(12, 12, 12, why="2 + 2 + 6 + 2 blocks"),
    ("timm", "vit_tiny_patch16_224"): Expectation(24, 12, 24, why="12 layers of two branches"),
    ("timm", "swin_tiny_patch4_window7_224"): Expectation(
        24, 12, 24, why="2 + 2 + 6 + 2 layers of two branches"
    ),
    ("timm", "efficientnet_b0"): Expectation(
        9, 15, 9, why="15 MBConv, 9 keep their shape; the first block is of another class"
    ),
    ("torchvision", "efficientnet_b0"): Expectation(9, 16, 9, why="16 MBConv, 9 keep their shape"),
    ("timm", "densenet121"): Expectation(0, 0, 0, 58, why="6 + 12 + 24 + 16 layers, joined"),
    ("torchvision", "densenet121"): Expectation(0, 0, 0, 58, why="the same"),
    ("timm", "res2net50_26w_4s"): Expectation(16, 16, 16, why="3 + 4 + 6 + 3 bottlenecks"),
    ("timm", "focalnet_tiny_srf"): Expectation(24, 12, 24, why="2 + 2 + 6 + 2 layers"),
    ("timm", "coat_tiny"): Expectation(
        78, 32, 78, why="8 serial layers of three branches, 6 parallel ones of nine"
    ),
    ("torchvision", "resnet18"): Expectation(8, 8, 8, why="2 + 2 + 2 + 2 basic blocks"),
    ("torchvision", "resnet50"): Expectation(16, 16, 16, why="3 + 4 + 6 + 3 bottlenecks"),
    ("torchvision", "vit_b_16"): Expectation(24, 12, 24, why="12 layers of two branches"),
    ("torchvision", "swin_t"): Expectation(24, 12, 24, why="2 + 2 + 6 + 2 layers"),
    ("torchvision", "convnext_tiny"): Expectation(18, 18, 18, why="3 + 3 + 9 + 3 blocks"),
    ("torchvision", "alexnet"): Expectation(0, 0, 0, why="a chain"),
    ("torchvision", "vgg11_bn"): Expectation(0, 0, 0, why="a chain"),
    ("transformers", "bert"): Expectation(6, 3, 6, why="3 layers of two branches, post-norm"),
    ("transformers", "gpt2"): Expectation(6, 3, 6, why="3 layers of two branches"),
    ("transformers", "llama"): Expectation(6, 3, 6, why="3 layers of two branches"),
    ("transformers", "vit"): Expectation(6, 3, 6, why="3 layers of two branches"),
    ("transformers", "t5"): Expectation(10, 10, 10, why="each sub-layer is a module of its own"),
    ("transformers", "whisper"): Expectation(10, 4, 10, why="2 layers of two branches, 2 of three"),
    ("transformers", "mamba"): Expectation(3, 3, 3, why="3 mixers"),
    ("transformers", "swin"): Expectation(8, 4, 8, why="4 layers of two branches"),
    ("transformers", "convnext"): Expectation(8, 8, 8, why="2 + 2 + 2 + 2 blocks"),
}
