"""Networks of timm and torchvision by name: random weights, and never a download."""

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from sppkit.errors import TargetError
from sppkit.user_code import describe_exception, did_you_mean

_INSTALL = {
    "timm": "pip install --upgrade timm torchvision",
    "torchvision": "pip install --upgrade torchvision",
    "transformers": "pip install --upgrade 'sppkit[transformers]'",
}
_WHEELS = "https://download.pytorch.org/whl/"
# operators that do not load: one of the two wheels is for CUDA, the other for the CPU
_MATCHING = (
    "install torch and torchvision of one build, as by "
    "pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu"
)
WEIGHT_ARGUMENTS = ("pretrained", "pretrained_backbone", "weights", "weights_backbone")
_TORCHVISION_SIDES = {"inception_v3": 299}  # smaller maps do not fit its auxiliary classifier
_TORCHVISION_OTHER_TASKS = {"detection", "optical_flow", "segmentation", "video"}


@dataclass(frozen=True)
class LibraryModel:
    """The factory of a library's network, and the input size that the library states."""

    factory: Callable[..., object]
    input_size: object


def find_in_library(library: str, name: str, arguments: Mapping[str, object]) -> LibraryModel:
    """Find a network of "timm" or "torchvision".

    Raises:
        TargetError: if the library cannot be imported, knows no such network, or if one of the
            arguments asks for trained weights.
    """
    refuse_weights(arguments, f"{library}:{name}")
    return _find_in_timm(name) if library == "timm" else _find_in_torchvision(name)


def configured_size(configuration: object) -> object:
    """Return the "input_size" of timm's configurations, which are mappings or dataclasses."""
    if isinstance(configuration, Mapping):
        return configuration.get("input_size")
    return getattr(configuration, "input_size", None)


def import_library(module: str, origin: str) -> Any:
    """Import a module of a library that a target needs.

    Raises:
        TargetError: it cannot be imported; with what to install.
    """
    with importing(module.partition(".")[0], origin):
        return importlib.import_module(module)


@contextmanager
def importing(library: str, origin: str) -> Iterator[None]:
    """Say what to install where an import fails inside; some libraries import when they are asked.

    Raises:
        TargetError: with what to install.
    """
    try:
        yield
    except Exception as error:  # a wheel that does not fit raises RuntimeError, OSError, ...
        absent = isinstance(error, ModuleNotFoundError) and error.name == library
        cause = (
            "is not installed"
            if absent
            else f"fails to import: {describe_exception(error).rstrip('.')}"
        )
        mismatched = any("torchvision::" in str(each) for each in _chain(error))
        remedy = _MATCHING if mismatched else _installing(library)
        raise TargetError(f"{origin} needs {library}, which {cause}. Try: {remedy}") from error


def _installing(library: str) -> str:
    """Say how to install a library beside the torch that is there, which it must not replace.

    Each torchvision belongs to one torch, and pip takes the newest of both otherwise.
    """
    if library == "transformers":
        return _INSTALL[library]
    torch = metadata.version("torch")
    _, _, build = torch.partition("+")
    index = f" --extra-index-url {_WHEELS}{build}" if build else ""
    return f"{_INSTALL[library]} torch=={torch}{index}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def refuse_weights(arguments: Mapping[str, object], origin: str) -> None:
    """Refuse arguments that ask for trained weights.

    Raises:
        TargetError: one of them does.
    """
    for key in WEIGHT_ARGUMENTS:
        if arguments.get(key):
            raise TargetError(
                f"{origin} with {key}={arguments[key]!r} would download weights, and sppkit "
                f"measures random ones. Leave {key} out, or load weights in a model.py of yours."
            )


def _find_in_timm(name: str) -> LibraryModel:
    timm = import_library("timm", f"timm:{name}")
    # what follows a dot names weights (resnet50.a1_in1k); a name of another form is a download
    _check_name("timm", name.partition(".")[0], timm.list_models())
    factory = functools.partial(timm.create_model, name, pretrained=False)
    size = None
    with suppress(AttributeError, RuntimeError):  # an old timm; a tag that building will refuse
        size = configured_size(timm.get_pretrained_cfg(name))
    return LibraryModel(factory, size)


def _find_in_torchvision(name: str) -> LibraryModel:
    models = import_library("torchvision.models", f"torchvision:{name}")
    _check_name("torchvision", name, models.list_models())
    builder = models.get_model_builder(name)
    # a detector downloads the weights of its backbone unless it is told not to
    known = inspect.signature(builder).parameters
    factory = functools.partial(builder, **{key: None for key in WEIGHT_ARGUMENTS if key in known})
    side = _TORCHVISION_SIDES.get(name, 224)
    classifies = not _TORCHVISION_OTHER_TASKS & set(builder.__module__.split("."))
    return LibraryModel(factory, (3, side, side) if classifies else None)


def _check_name(library: str, name: str, names: Sequence[str]) -> None:
    if name in names:
        return
    listing = "timm.list_models()" if library == "timm" else "torchvision.models.list_models()"
    raise TargetError(
        f"{library} has no model '{name}'.{did_you_mean(name, names)} {listing} lists all "
        f"{len(names)} of them."
    )
