"""What the forward of a network of transformers takes, from its class and its configuration.

The library names the main input of every class (`main_input_name`) and gives the sizes in the
configuration, under names that most of its models share. Sequences are short, so that a probe takes
seconds; pictures, films and sounds are as large as the configuration says.
"""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sppkit.inputs import NamedSizes, Tokens
from sppkit.targets.hugging_face.configuration import inner_configurations

LENGTH = 32
"""Tokens of a sequence, at most half of the positions that the network has."""

_FRAMES = 128  # of a spectrogram whose length the configuration leaves open
_PICTURE = 224  # pixels of a side, as above
_RATE = 16_000  # values of a sound: a second of speech
_CHANNELS = ("num_channels", "in_channels", "in_chans", "num_image_channels")
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "seq_length")
_BINS = ("input_feat_per_channel", "feature_projection_input_dim", "num_mel_bins", "input_dim")
# ids with a meaning, of padding and of where pictures go, change how the others are read
_SPECIAL = re.compile(r".*_token_(id|index|ids)")
_PLACEHOLDER = re.compile(r"(image|video|audio|vision|speech|media)_.*token_(id|index)")

Size = tuple[int, ...] | Tokens | None


@dataclass(frozen=True)
class InputsOfNetwork:
    """What a forward takes.

    Attributes:
        sizes: of its inputs by name; None where they cannot be inferred.
        lacking: the inputs that it cannot do without and whose size nothing states.
    """

    sizes: NamedSizes | None
    lacking: tuple[str, ...] = ()


def infer_inputs(kind: Any, configuration: Any) -> InputsOfNetwork:
    """Infer sizes and tokens of the inputs that a network needs.

    These are its main input, whatever its forward has no default for, the decoder's tokens of an
    encoder-decoder, and the picture or sound of a network that encodes it beside its text. A
    language model that takes pictures in place of tokens is given its text alone.
    """
    parameters = inspect.signature(kind.forward).parameters
    names = list(dict.fromkeys(_needed(kind, configuration, parameters)))
    sizes = {name: _size(name, configuration) for name in names}
    lacking = tuple(name for name, size in sizes.items() if size is None)
    known = {name: size for name, size in sizes.items() if size is not None}
    return InputsOfNetwork(None, lacking) if lacking else InputsOfNetwork(known)


def _needed(kind: Any, configuration: Any, parameters: Any) -> list[str]:
    main = kind.main_input_name
    mains = [main] if isinstance(main, str) else list(main)
    needed = [name for name in mains if name in parameters]
    needed += [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        and name != "self"
    ]
    if _stated(configuration, "is_encoder_decoder") and "decoder_input_ids" in parameters:
        needed.append("decoder_input_ids")
    if "input_ids" in needed and not _has_places_for_others(configuration):
        needed += [name for name in ("pixel_values", "input_features") if name in parameters]
    return needed


def _has_places_for_others(configuration: Any) -> bool:
    """Say whether pictures or sounds take the places of tokens."""
    return any(
        _PLACEHOLDER.fullmatch(n) for c in inner_configurations(configuration) for n in vars(c)
    )


def _size(name: str, configuration: Any) -> Size:
    rule = _RULES.get(name)
    return rule(configuration) if rule else None


# -------------------------------------------------------------------------------------- the rules


def _tokens(configuration: Any, *, prefix: str = "") -> Tokens | None:
    field = f"{prefix}vocab_size"
    vocabulary = _whole(_of_text(configuration), field) or _whole(configuration, field)
    if vocabulary is None:
        return None
    positions = min(
        (n for c in inner_configurations(configuration) for n in _values(c, _POSITIONS) if n > 1),
        default=math.inf,
    )
    length = int(min(LENGTH, positions // 2))
    return Tokens((length,), vocabulary, _special_ids(configuration, vocabulary))


def _decoder_tokens(configuration: Any) -> Tokens | None:
    return _tokens(configuration, prefix="decoder_") or _tokens(configuration)


def _pictures(configuration: Any) -> Size:
    picture = (_channels(configuration), *_sides(configuration))
    frames = _whole(configuration, "num_frames")
    return picture if frames is None else (frames, *picture)


def _films(configuration: Any) -> Size:
    frames = _whole(configuration, "frames_per_clip", "num_frames") or 16
    return (frames, _channels(configuration), *_sides(configuration))


def _sounds(configuration: Any) -> Size:
    """Waves; spectrograms of a fixed length where the configuration states one."""
    length, bins = _whole(configuration, "max_length"), _whole(configuration, "num_mel_bins")
    if length and bins:
        return (length, bins)
    channels = _whole(configuration, "audio_channels")
    rate = _whole(configuration, "sampling_rate") or _RATE
    return (channels, rate) if channels else (rate,)


def _spectrograms(configuration: Any) -> Size:
    """Channels first and twice the encoder's positions, as Whisper's; else frames first."""
    bins, positions = _whole(configuration, *_BINS), _whole(configuration, "max_source_positions")
    if bins is None:
        return None
    is_framed = _whole(configuration, "input_feat_per_channel") is not None
    return (bins, 2 * positions) if positions and not is_framed else (_FRAMES, bins)


def _series(configuration: Any) -> Size:
    length = _whole(configuration, "context_length")
    channels = _whole(configuration, "num_input_channels")
    return (length, channels) if length and channels else None


_RULES: dict[str, Callable[[Any], Size]] = {
    "input_ids": _tokens,
    "decoder_input_ids": _decoder_tokens,
    "pixel_values": _pictures,
    "pixel_values_videos": _films,
    "input_values": _sounds,
    "input_features": _spectrograms,
    "past_values": _series,
}


# ------------------------------------------------------------------------------ values of a field


def _stated(configuration: Any, *names: str) -> Any:
    """Return the first of these fields that is there, outer configurations first."""
    for each in inner_configurations(configuration):
        for name in names:
            value = getattr(each, name, None)
            if value is not None:
                return value
    return None


def _of_text(configuration: Any) -> Any:
    """Return the part that is of the text; some vision parts state a vocabulary, too."""
    try:
        return configuration.get_text_config()
    except ValueError:  # there are several
        return configuration


def _whole(configuration: Any, *names: str) -> int | None:
    value = _stated(configuration, *names)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _values(configuration: Any, names: tuple[str, ...]) -> list[int]:
    found = (getattr(configuration, name, None) for name in names)
    return [n for n in found if isinstance(n, int) and not isinstance(n, bool)]


def _channels(configuration: Any) -> int:
    return _whole(configuration, *_CHANNELS) or 3


def _sides(configuration: Any) -> tuple[int, int]:
    """Return height and width: of a field that holds one number, two, or their names."""
    size = _stated(configuration, "crop_size", "image_size")
    if isinstance(size, dict):
        size = (size.get("height", _PICTURE), size.get("width", _PICTURE))
    if isinstance(size, tuple | list) and len(size) == 2:
        return int(size[0]), int(size[1])
    side = size if isinstance(size, int) and size > 0 else _PICTURE
    return side, side


def _special_ids(configuration: Any, vocabulary: int) -> frozenset[int]:
    """Collect the ids that are no words, unless that leaves none."""
    fields = (
        value
        for each in inner_configurations(configuration)
        for name, value in vars(each).items()
        if _SPECIAL.fullmatch(name)
    )
    flat = {n for value in fields for n in (value if isinstance(value, list | tuple) else [value])}
    special = frozenset(n for n in flat if isinstance(n, int) and 0 <= n < vocabulary)
    return special if len(special) < vocabulary else frozenset()
