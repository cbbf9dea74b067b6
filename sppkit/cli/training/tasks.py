"""From the flags of `sppkit train` to the runs that they ask for: targets x grid x seeds."""

import inspect
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sppkit.cli.flags import Sizes
from sppkit.cli.sources import choose_device, load_loss
from sppkit.cli.training.entries import Entry, Request, read_request
from sppkit.cli.training.flags import Feeding, Keeping, Learning, Running
from sppkit.errors import TargetError
from sppkit.inputs import Tokens, size_of
from sppkit.models import find_reference
from sppkit.targets import Target, declared_input_size, parse_arguments, resolve
from sppkit.training.choices import change, read_clipping
from sppkit.training.data import Data, Wishes, find_data
from sppkit.training.parallel import ALONE, Parallel
from sppkit.training.recipes import Recipe
from sppkit.training.run_folder import RunFolder
from sppkit.training.task import Task

_LONGEST_NAME = 180  # bytes; file systems allow 255


@dataclass(frozen=True)
class PlannedRun:
    """A run that is to be.

    Attributes:
        name: of its folder.
        task: what is done.
        folder: where it is written.
    """

    name: str
    task: Task
    folder: RunFolder


@dataclass(frozen=True)
class _Variant:
    """One point of the grid: a recipe, a batch size, and what tells it from the others."""

    recipe: Recipe
    batch_size: int | None
    label: str


def plan_runs(
    targets: Sequence[str],
    learning: Learning,
    feeding: Feeding,
    running: Running,
    keeping: Keeping,
    parallel: Parallel = ALONE,
) -> list[PlannedRun]:
    """Plan every run, seeds innermost, so that what is compared comes close together.

    Raises:
        ValueError: a flag has no meaning.
        SppkitError: a target or the data cannot be found.
    """
    given = parse_arguments(running.arguments or ())
    request = read_request(targets, learning, feeding, running, given)
    names = _distinct([e.name or resolve(e.target, given).name for e in request.entries])
    find = _Data(request.feeding)
    return [
        planned
        for entry, name in zip(request.entries, names, strict=True)
        for planned in _runs(replace(entry, name=name), request, keeping, find, parallel)
    ]


def _runs(
    entry: Entry, request: Request, keeping: Keeping, find: "_Data", parallel: Parallel
) -> Iterator[PlannedRun]:
    """Plan the runs of one network: each point of the grid, with each seed."""
    feeding, running = request.feeding, request.running
    target, data = _with_its_data(entry.target, entry.arguments, feeding, find)
    seeds = running.number_of_seeds or 1
    for variant in _variants(entry.recipe, request.learning):
        run = f"{entry.name} {variant.label}".strip()
        for seed in range(running.seed, running.seed + seeds):
            task = Task(
                run=run,
                build=target.build,
                origin=target.origin,
                data=data,
                recipe=variant.recipe,
                batch_size=variant.batch_size,
                seed=seed,
                device=choose_device(running.device),
                amp=running.amp.value,
                compile=running.compile,
                loss=None if feeding.loss is None else load_loss(feeding.loss),
                every=keeping.every,
                include=keeping.include,
                exclude=keeping.exclude,
                flush_seconds=keeping.flush_seconds,
                parallel=parallel,
                stop_on=keeping.stop_on.value,
                description=_description(entry.target, entry.arguments, feeding),
            )
            label = f"{run} seed{seed}" if seeds > 1 or seed else run
            yield PlannedRun(label, task, RunFolder(keeping.output / folder_name(label)))


def folder_name(label: str) -> str:
    r"""Name a folder after a run, without what a file name must not hold.

    >>> folder_name("nf_resnet20 lr=0.1 seed2"), folder_name("../a\nb")
    ('nf_resnet20-lr=0.1-seed2', '_a_b')
    """
    safe = re.sub(r"[^\w.+=-]", "_", label.replace(" ", "-")).lstrip(".-") or "run"
    return safe.encode()[:_LONGEST_NAME].decode(errors="ignore")


# ------------------------------------------------------------------------------------------ grid


def _variants(preset: Recipe, learning: Learning) -> Iterator[_Variant]:
    """Combine the values of the flags that were given several times."""
    axes: dict[str, Sequence[Any]] = {
        "optimizer": [each.value for each in learning.optimizer or ()] or [None],
        "lr": learning.learning_rate or [None],
        "batch": learning.batch_size or [None],
        "decay": learning.weight_decay or [None],
        "clip": learning.clip or [None],
    }
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        varied = {name: value for name, value in point.items() if len(axes[name]) > 1}
        label = " ".join(f"{name}={_short(value)}" for name, value in varied.items())
        yield _Variant(_changed(preset, learning, point), point["batch"], label)


def _changed(preset: Recipe, learning: Learning, point: Mapping[str, Any]) -> Recipe:
    recipe = change(
        preset,
        optimizer=point["optimizer"],
        learning_rate=point["lr"],
        weight_decay=point["decay"],
        epochs=learning.epochs,
        momentum=learning.momentum,
        nesterov=learning.nesterov,
        schedule=None if learning.schedule is None else learning.schedule.value,
        milestones=None if learning.milestones is None else tuple(learning.milestones),
        warmup_epochs=learning.warmup,
        label_smoothing=learning.label_smoothing,
        averaging_decay=learning.average,
    )
    return _clipped(recipe, point["clip"], learning.clip_exclude)


def _clipped(recipe: Recipe, clip: str | None, exclude: list[str] | None) -> Recipe:
    if clip is not None:
        return replace(recipe, clipping=read_clipping(clip, tuple(exclude or ())))
    if exclude is None:
        return recipe
    if recipe.clipping is None:
        raise ValueError("--clip-exclude needs gradients that are clipped, as by --clip agc:0.01.")
    clipping = replace(recipe.clipping, exclude=tuple(exclude))
    return replace(recipe, clipping=clipping)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------ networks and their data


class _Data:
    """Find data for a size of sample, once for each size."""

    def __init__(self, feeding: Feeding) -> None:
        self._feeding = feeding
        self._found: dict[tuple[int, ...] | None, Data] = {}

    def __call__(self, size: tuple[int, ...] | None) -> Data:
        feeding = self._feeding
        if size not in self._found:
            wishes = Wishes(
                size=size,
                hold_out=feeding.hold_out,
                augmentation=feeding.augmentation and feeding.augmentation.value,
                workers=feeding.workers,
            )
            self._found[size] = find_data(feeding.source, wishes)
        return self._found[size]


def _with_its_data(
    text: str, arguments: Mapping[str, object], feeding: Feeding, find: Callable[..., Data]
) -> tuple[Target, Data]:
    """Find a network and data of its size; a bundled one is built for the classes of the data."""
    target = resolve(text, arguments)
    if not target.fresh:
        raise TargetError(
            f"{target.origin} is a network that is built already, whose weights every run would "
            "change. Name its class or a function that builds it."
        )
    data = find(_size(target, feeding))
    scheme, _, name = text.partition(":")
    if scheme == "ref" and data.classes is not None and "classes" not in arguments:
        accepted = inspect.signature(find_reference(name).factory()).parameters
        if "classes" in accepted:
            target = resolve(text, {**arguments, "classes": data.classes})
    return target, data


def _size(target: Target, feeding: Feeding) -> tuple[int, ...] | None:
    sizes = feeding.sizes or _in_order(target)
    if sizes is None and not feeding.source.endswith(".npz"):
        sizes = declared_input_size(target.build())
    if sizes is not None and len(sizes) > 1:
        raise TargetError(
            f"{target.origin} takes {len(sizes)} inputs, and data has one. Wrap it in a network "
            "that takes one."
        )
    return sizes[0] if sizes else None


def _in_order(target: Target) -> Sizes | None:
    """Return the sizes of the inputs in order, where all of them are numbers."""
    declared = target.input_size
    if not isinstance(declared, Mapping):
        return declared
    tokens = [name for name, one in declared.items() if isinstance(one, Tokens)]
    if tokens:
        raise TargetError(
            f"{target.origin} takes tokens ({', '.join(tokens)}), and `sppkit train` has none: its "
            "data are pictures and numbers. Record its own training: sppkit.record(model)."
        )
    return tuple(size_of(one) for one in declared.values())


def _distinct(names: Sequence[str]) -> list[str]:
    """Number names that come twice: "net", "net #2"."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return distinct


def _description(text: str, arguments: Mapping[str, object], feeding: Feeding) -> dict[str, object]:
    return {
        "target": text,
        "arguments": {key: repr(value) for key, value in arguments.items()},
        "data_source": feeding.source,
        "augmentation": feeding.augmentation and feeding.augmentation.value,
        "hold_out": feeding.hold_out,
        "loss": feeding.loss,
    }
