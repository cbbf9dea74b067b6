"""Networks of transformers, each from a tiny configuration."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch

from tests.zoo.networks import Batch, Network, keyword_batch
from tests.zoo.torchvision_shim import import_torchvision

_VOCABULARY = 99
_TEXT = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_DECODER = {**_TEXT, "num_key_value_heads": 2, "use_cache": False}
_PICTURE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "image_size": 32,
    "patch_size": 8,
}
_SEQUENCE_TO_SEQUENCE = {
    "vocab_size": _VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "use_cache": False,
}


def _tokens(**others: Any) -> Batch:
    def make(generator: torch.Generator) -> dict[str, Any]:
        return {"input_ids": _ids(generator, 12), **others}

    return keyword_batch("2x12 tokens", make)


def _both_sides() -> Batch:
    def make(generator: torch.Generator) -> dict[str, Any]:
        return {"input_ids": _ids(generator, 12), "decoder_input_ids": _ids(generator, 7)}

    return keyword_batch("2x12 and 2x7 tokens", make)


def _pictures(side: int) -> Batch:
    def make(generator: torch.Generator) -> dict[str, Any]:
        return {"pixel_values": torch.randn(2, 3, side, side, generator=generator)}

    return keyword_batch(f"2x3x{side}x{side}", make)


def _pictures_and_tokens(side: int) -> Batch:
    def make(generator: torch.Generator) -> dict[str, Any]:
        pictures = torch.randn(2, 3, side, side, generator=generator)
        return {"pixel_values": pictures, "input_ids": _ids(generator, 12)}

    return keyword_batch(f"2x3x{side}x{side} and 2x12 tokens", make)


def _spectrograms() -> Batch:
    def make(generator: torch.Generator) -> dict[str, Any]:
        features = torch.randn(2, 16, 60, generator=generator)
        return {"input_features": features, "decoder_input_ids": _ids(generator, 7)}

    return keyword_batch("2x16x60 and 2x7 tokens", make)


def _waves() -> Batch:
    def make(generator: torch.Generator) -> dict[str, Any]:
        return {"input_values": torch.randn(2, 2000, generator=generator)}

    return keyword_batch("2x2000", make)


def _ids(generator: torch.Generator, length: int) -> torch.Tensor:
    return torch.randint(3, _VOCABULARY, (2, length), generator=generator)


_CLIP = {
    "text_config": _TEXT,
    "vision_config": _PICTURE,
    "projection_dim": 16,
}
_WAVES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "conv_dim": (16, 16, 16),
    "conv_stride": (4, 2, 2),
    "conv_kernel": (8, 3, 3),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 32,
    "mask_time_prob": 0.0,
}

# name: (model, configuration, its arguments, batch)
NETWORKS: dict[str, tuple[str, str, dict[str, Any], Callable[[], Batch]]] = {
    "albert": ("AlbertModel", "AlbertConfig", {**_TEXT, "embedding_size": 16}, _tokens),
    "bart": ("BartModel", "BartConfig", _SEQUENCE_TO_SEQUENCE, _both_sides),
    "beit": ("BeitModel", "BeitConfig", _PICTURE, lambda: _pictures(32)),
    "bert": ("BertModel", "BertConfig", _TEXT, _tokens),
    "bert-masked": ("BertForMaskedLM", "BertConfig", _TEXT, _tokens),
    "bloom": (
        "BloomModel",
        "BloomConfig",
        {"vocab_size": _VOCABULARY, "hidden_size": 32, "n_layer": 3, "n_head": 4},
        lambda: _tokens(use_cache=False),
    ),
    "clip": ("CLIPModel", "CLIPConfig", _CLIP, lambda: _pictures_and_tokens(32)),
    "convnext": (
        "ConvNextModel",
        "ConvNextConfig",
        {"hidden_sizes": [8, 16, 24, 32], "depths": [2, 2, 2, 2]},
        lambda: _pictures(64),
    ),
    "convnextv2": (
        "ConvNextV2Model",
        "ConvNextV2Config",
        {"hidden_sizes": [8, 16, 24, 32], "depths": [2, 2, 2, 2]},
        lambda: _pictures(64),
    ),
    "deberta-v2": ("DebertaV2Model", "DebertaV2Config", _TEXT, _tokens),
    "dinov2": ("Dinov2Model", "Dinov2Config", {**_PICTURE, "mlp_ratio": 2}, lambda: _pictures(32)),
    "distilbert": (
        "DistilBertModel",
        "DistilBertConfig",
        {"vocab_size": _VOCABULARY, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 37},
        _tokens,
    ),
    "electra": ("ElectraModel", "ElectraConfig", {**_TEXT, "embedding_size": 16}, _tokens),
    "falcon": ("FalconModel", "FalconConfig", {**_TEXT, "use_cache": False}, _tokens),
    "gemma": ("GemmaModel", "GemmaConfig", {**_DECODER, "head_dim": 8}, _tokens),
    "gpt2": (
        "GPT2Model",
        "GPT2Config",
        {"vocab_size": _VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "use_cache": False},
        _tokens,
    ),
    "gpt-neox": ("GPTNeoXModel", "GPTNeoXConfig", {**_TEXT, "use_cache": False}, _tokens),
    "llama": ("LlamaForCausalLM", "LlamaConfig", _DECODER, _tokens),
    "mamba": (
        "MambaModel",
        "MambaConfig",
        {"vocab_size": _VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "state_size": 8},
        lambda: _tokens(use_cache=False),
    ),
    "mistral": ("MistralModel", "MistralConfig", _DECODER, _tokens),
    "mixtral": (
        "MixtralModel",
        "MixtralConfig",
        {**_DECODER, "intermediate_size": 40, "num_local_experts": 4, "num_experts_per_tok": 2},
        _tokens,
    ),
    "opt": (
        "OPTModel",
        "OPTConfig",
        {**_TEXT, "ffn_dim": 37, "word_embed_proj_dim": 32, "use_cache": False},
        _tokens,
    ),
    "phi": ("PhiModel", "PhiConfig", {**_TEXT, "use_cache": False}, _tokens),
    "qwen2": ("Qwen2Model", "Qwen2Config", _DECODER, _tokens),
    "resnet": (
        "ResNetModel",
        "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [2, 2]},
        lambda: _pictures(64),
    ),
    "roberta": ("RobertaModel", "RobertaConfig", _TEXT, _tokens),
    "segformer": (
        "SegformerModel",
        "SegformerConfig",
        {
            "hidden_sizes": [8, 16, 16, 32],
            "depths": [2, 2, 2, 2],
            "num_attention_heads": [1, 2, 2, 4],
        },
        lambda: _pictures(64),
    ),
    "swin": (
        "SwinModel",
        "SwinConfig",
        {
            "image_size": 32,
            "patch_size": 2,
            "embed_dim": 16,
            "depths": [2, 2],
            "num_heads": [2, 4],
            "window_size": 4,
        },
        lambda: _pictures(32),
    ),
    "t5": (
        "T5Model",
        "T5Config",
        {
            "vocab_size": _VOCABULARY,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 37,
            "num_layers": 2,
            "num_heads": 4,
            "use_cache": False,
        },
        _both_sides,
    ),
    "vit": ("ViTModel", "ViTConfig", _PICTURE, lambda: _pictures(32)),
    "wav2vec2": ("Wav2Vec2Model", "Wav2Vec2Config", _WAVES, _waves),
    "whisper": (
        "WhisperModel",
        "WhisperConfig",
        {**_SEQUENCE_TO_SEQUENCE, "num_mel_bins": 16, "max_source_positions": 30},
        _spectrograms,
    ),
}


def chosen() -> Iterator[str]:
    """Name the chosen networks: all of them."""
    yield from NETWORKS


every_name = chosen


def find(name: str) -> Network:
    """Find a network by name."""
    model, configuration, arguments, batch = NETWORKS[name]
    with suppress(
        ModuleNotFoundError
    ):  # transformers does without torchvision, not with half of it
        import_torchvision()
    import transformers

    def build() -> Any:
        return getattr(transformers, model)(getattr(transformers, configuration)(**arguments))

    return Network("transformers", name, build, (batch(),))
