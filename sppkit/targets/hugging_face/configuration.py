"""From what is stated, and what a person overrides, to a configuration object of transformers."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from sppkit.errors import TargetError
from sppkit.targets.hugging_face.offline import offline
from sppkit.targets.hugging_face.stated import StatedConfiguration
from sppkit.targets.libraries import import_library, refuse_weights
from sppkit.user_code import describe_exception, did_you_mean

# random weights in float32 are measured, whatever the trained ones are kept in
_OF_TRAINED_WEIGHTS = ("dtype", "torch_dtype", "quantization_config")
_ALSO_ACCEPTED = {"architectures", "attn_implementation", "num_labels"}  # by every configuration


def make_configuration(stated: StatedConfiguration, arguments: Mapping[str, object]) -> Any:
    """Make the configuration that a network is built from.

    It is in float32 and keeps no cache of keys and values, as in training. Arguments override its
    fields; a mapping overrides fields of an inner configuration.

    Raises:
        TargetError: an argument is no field, or asks for weights or for code from elsewhere; or
            the library refuses the values.
    """
    _refuse_remote_code(arguments, stated.origin)
    refuse_weights(arguments, stated.origin)
    transformers = import_library("transformers", stated.origin)
    as_fields = _as_fields(arguments)
    try:
        kind = transformers.CONFIG_MAPPING[stated.model_type]
        _check_fields(as_fields, _known_fields(kind, stated.fields), stated.origin)
        fields = _merged(_without_weights(stated.fields), as_fields)
        if "use_pretrained_backbone" in inspect.signature(kind.__init__).parameters:
            fields["use_pretrained_backbone"] = False
        with offline():
            configuration = kind.from_dict(fields)
    except TargetError:
        raise
    except Exception as error:  # validators of many kinds
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items()) or "none"
        raise TargetError(
            f"{stated.origin} cannot be configured (arguments: {given}): "
            f"{describe_exception(error).removesuffix('.')}."
        ) from error
    for each in inner_configurations(configuration):
        if "use_cache" not in arguments and hasattr(each, "use_cache"):
            each.use_cache = False
    return configuration


def inner_configurations(configuration: Any) -> Iterator[Any]:
    """Yield a configuration and those within it, outermost first."""
    kind = import_library("transformers", "hf:").PretrainedConfig
    yield configuration
    for value in vars(configuration).values():
        if isinstance(value, kind):
            yield from inner_configurations(value)


def _known_fields(kind: Any, stated: Mapping[str, Any]) -> set[str]:
    parameters = set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
    known = parameters | set(kind.attribute_map) | set(stated) | _ALSO_ACCEPTED
    return known - set(_OF_TRAINED_WEIGHTS)


def _check_fields(arguments: Mapping[str, object], known: set[str], origin: str) -> None:
    for name in arguments:
        if name in _OF_TRAINED_WEIGHTS:
            raise TargetError(
                f"{origin} with {name}={arguments[name]!r}: random weights are in float32. Leave "
                "it out, and say --amp bf16 for a lower precision."
            )
        if name not in known:
            raise TargetError(
                f"the configuration of {origin} has no field '{name}'.{did_you_mean(name, known)} "
                f"It has: {', '.join(sorted(known))}."
            )


def _refuse_remote_code(arguments: Mapping[str, object], origin: str) -> None:
    if arguments.get("trust_remote_code"):
        raise TargetError(
            f"{origin} with trust_remote_code=True would run Python code that comes with the "
            "configuration, and sppkit runs none but that of the installed library. Leave it out; "
            "if you trust that code, build the network in a model.py of yours, and name that."
        )


def _as_fields(arguments: Mapping[str, object]) -> dict[str, Any]:
    """Write arguments as fields: one architecture is a list of one."""
    fields = {key: value for key, value in arguments.items() if key != "trust_remote_code"}
    if isinstance(fields.get("architectures"), str):
        fields["architectures"] = [fields["architectures"]]
    return fields


def _without_weights(value: Any) -> Any:
    """Copy what a file says but for what it says of the trained weights, at every depth."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in _OF_TRAINED_WEIGHTS}
        return {
            key: False if key == "use_pretrained_backbone" else _without_weights(part)
            for key, part in kept.items()
        }
    return [_without_weights(part) for part in value] if isinstance(value, list) else value


def _merged(fields: dict[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(fields)
    for key, value in others.items():
        inner = merged.get(key)
        both = isinstance(inner, dict) and isinstance(value, Mapping)
        merged[key] = _merged(inner, value) if both and isinstance(inner, dict) else value
    return merged
