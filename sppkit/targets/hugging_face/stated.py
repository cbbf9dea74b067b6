"""What is stated of a network: a config.json on this disk, or the name of a model type alone."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sppkit.errors import TargetError
from sppkit.targets.libraries import import_library
from sppkit.user_code import did_you_mean

_FILE = "config.json"
_EXPECTED = (
    "a folder with a config.json, a .json file, the name of a model type (bert, gpt2, vit, ...), "
    "or a name of the hub whose config.json is in the local cache"
)


@dataclass(frozen=True)
class StatedConfiguration:
    """What is stated of a network.

    Attributes:
        name: of its run.
        model_type: which configuration class of transformers it is for.
        fields: what the file says; empty for the defaults of a type.
        origin: what it is and where it is from, for messages.
    """

    name: str
    model_type: str
    fields: dict[str, Any]
    origin: str


def find_stated(text: str) -> StatedConfiguration:
    """Find what `hf:text` names; a folder or file comes before a model type of that name.

    Raises:
        TargetError: there is no such thing here, or the file is no configuration.
    """
    transformers = import_library("transformers", f"hf:{text}")
    types = transformers.CONFIG_MAPPING.keys()
    path = Path(text).expanduser()
    file = path / _FILE if path.is_dir() else path
    if text and file.is_file():
        return _read(file, text, types)
    if text in types:
        return StatedConfiguration(text, text, {}, f"hf:{text}")
    if path.is_dir() or _is_written_as_path(text):
        raise TargetError(_no_file(text, path))
    cached = _find_in_cache(text)
    if cached is None:
        raise TargetError(_unknown(text, types))
    return _read(cached, text, types)


def _read(file: Path, text: str, types: Collection[str]) -> StatedConfiguration:
    fields = _read_json(file)
    model_type = fields.get("model_type")
    if not isinstance(model_type, str) or model_type not in types:
        raise TargetError(_unknown_type(file, fields, types))
    is_plain = file.name == _FILE
    name = file.resolve().parent.name if is_plain else file.stem
    if not Path(text).expanduser().exists():  # a name of the hub, read from its cache
        name = text.rpartition("/")[2]
    return StatedConfiguration(name, model_type, fields, f"hf:{text}")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # a broken text is a ValueError, too
        raise TargetError(f"'{file}' cannot be read as JSON: {error}. Correct it.") from error
    if not isinstance(content, dict):
        raise TargetError(
            f"'{file}' holds a {type(content).__name__}; expected the object that transformers "
            "saves as config.json."
        )
    return content


def _unknown_type(file: Path, fields: dict[str, Any], types: Collection[str]) -> str:
    """Say why a file is of no use here; what is remote code is named as such."""
    if "auto_map" in fields:
        return (
            f"'{file}' is for a network whose code comes with it (auto_map: "
            f"{', '.join(map(str, dict(fields['auto_map']).values()))}). sppkit runs no such code, "
            "as trust_remote_code=True would. If you trust it, build the network in a model.py of "
            "yours, and name that."
        )
    found = fields.get("model_type")
    if found is None:
        return (
            f"'{file}' names no model_type; expected a configuration of transformers, such as "
            f"config.save_pretrained(folder) writes. It has: {', '.join(fields) or 'nothing'}."
        )
    return (
        f"'{file}' is of the model_type {found!r}, which this transformers does not know."
        f"{did_you_mean(str(found), types)} A newer one may: pip install --upgrade transformers."
    )


def _is_written_as_path(text: str) -> bool:
    return not text or text.startswith((".", "/", "~")) or text.endswith((".json", "/"))


def _no_file(text: str, path: Path) -> str:
    if text and path.is_dir():
        there = ", ".join(sorted(each.name for each in path.iterdir())[:20]) or "nothing"
        return f"hf:{text} is a folder without a {_FILE}; there is: {there}. Expected {_EXPECTED}."
    return f"hf:{text} does not exist. Expected {_EXPECTED}."


def _find_in_cache(name: str) -> Path | None:
    """Look for the config.json of a name of the hub in the local cache, and nowhere else."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, _FILE)
    except HFValidationError:  # no name that the hub could have
        return None
    return Path(found) if isinstance(found, str) else None


def _unknown(text: str, types: Collection[str]) -> str:
    if "/" in text:
        return (
            f"hf:{text} is no folder here, and its {_FILE} is not in the local cache. sppkit "
            f"downloads nothing: fetch it once with `hf download {text} {_FILE}`, then try again."
        )
    return (
        f"hf:{text} is unknown: no folder here, none of the {len(types)} model types of this "
        f"transformers, and not in the local cache.{did_you_mean(text, types)} For a name of the "
        f"hub: hf download {text} {_FILE}. Expected {_EXPECTED}."
    )
