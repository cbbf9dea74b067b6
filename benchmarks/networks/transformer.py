"""Pre-norm transformers: a ViT in the style of timm, a GPT in the style of nanoGPT.

Papers: An image is worth 16x16 words, Dosovitskiy et al., 2020, arXiv 2010.11929; Language models
are unsupervised multitask learners, Radford et al., 2019. No dropout: steps are to be equal.
Neither works in place.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Multi-head self-attention with torch's fused product."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mixed tokens, (N, T, width)."""
        samples, tokens, width = x.shape
        split = (samples, tokens, 3, self.heads, width // self.heads)
        q, k, v = self.qkv(x).reshape(split).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(x.shape))
        return projected


class Block(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, causal=causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, T, width)."""
        x = x + self.attn(self.norm1(x))
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class VisionTransformer(nn.Module):
    """Patches, blocks, the average of the tokens, a classifier."""

    def __init__(self, *, width: int, depth: int, tokens: int, patch: int, classes: int) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, patch, patch)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        heads = max(1, width // 32)
        self.blocks = nn.Sequential(*(Block(width, heads, causal=False) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images, (N, classes)."""
        x = self.patch_embed(x).flatten(2).transpose(1, 2) + self.pos_embed
        logits: Tensor = self.head(self.norm(self.blocks(x)).mean(1))
        return logits


class GPT(nn.Module):
    """Token and position embeddings, causal blocks, a classifier that shares the embedding."""

    def __init__(self, *, width: int, depth: int, tokens: int, vocabulary: int) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(tokens, width)
        heads = max(1, width // 32)
        self.blocks = nn.Sequential(*(Block(width, heads, causal=True) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the next tokens, (N, T, vocabulary)."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.wte(tokens) + self.wpe(positions)
        logits: Tensor = self.lm_head(self.norm(self.blocks(x)))
        return logits


def vit(
    *,
    width: int = 128,
    depth: int = 6,
    tokens: int = 64,
    patch: int = 4,
    classes: int = 10,
    in_place: bool = True,
) -> nn.Module:
    """Build a small ViT; (N, 3, H, W) with tokens = (H / patch) (W / patch) to (N, classes)."""
    return VisionTransformer(width=width, depth=depth, tokens=tokens, patch=patch, classes=classes)


def gpt(
    *,
    width: int = 128,
    depth: int = 4,
    tokens: int = 128,
    vocabulary: int = 512,
    in_place: bool = True,
) -> nn.Module:
    """Build a small GPT; token numbers (N, T) to (N, T, vocabulary)."""
    model = GPT(width=width, depth=depth, tokens=tokens, vocabulary=vocabulary)
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, std=0.02)
    return model
