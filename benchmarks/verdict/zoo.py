"""No false alarm is the bar: architectures of torchvision and timm, checked as they come.

All of torchvision's classification networks and one or a few of each of timm's families, built with
random weights; each is known to train from its paper. Needs the extra `zoo`. Networks that are
recorded are not recorded again: delete `recordings/` when the measuring has changed.
"""

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from torch import nn

import sppkit
from benchmarks.verdict.evidence import RECORDINGS
from benchmarks.verdict.labels import RESULTS
from sppkit.gate import record_evidence
from sppkit.recording import Recording
from sppkit.rules import Severity, judge
from tests.zoo.networks import find, zoo
from tests.zoo.torchvision_shim import import_torchvision

ZOO = RESULTS / "zoo.csv"

SEEDS, SAMPLES = 2, 8

SIDES = (96, 128, 192, 224, 240, 256, 299, 384, 448)
"""Of the pictures: the smallest that a network takes."""

_OTHER_TASKS = {"detection", "segmentation", "video", "optical_flow", "quantization"}


def names() -> Iterator[tuple[str, str]]:
    """Name library and architecture."""
    import_torchvision()
    from torchvision.models import get_model_builder, list_models

    for name in list_models():
        if get_model_builder(name).__module__.split(".")[2] not in _OTHER_TASKS:
            yield "torchvision", name
    for name in zoo("timm"):
        yield "timm", name


def path_of(library: str, name: str) -> Path:
    """Name the file of an architecture's recording."""
    return RECORDINGS / f"zoo-{library}-{name}.parquet"


def check_all(part: int = 0, parts: int = 1) -> pd.DataFrame:
    """Record what has not been recorded, judge all recordings, and write the table."""
    everything = list(names())
    for library, name in everything[part::parts]:
        if not path_of(library, name).exists():
            print(library, name, _record(library, name), flush=True)
    rows = [_judged(*name) for name in everything if path_of(*name).exists()]
    table = pd.DataFrame(rows)
    table.to_csv(ZOO, index=False, float_format="%.3g")
    return table


def summary(table: pd.DataFrame) -> str:
    """Say how many pass, and name those that do not."""
    failed = table[table["verdict"] != "pass"]
    counts = ", ".join(
        f"{n} of {library}" for library, n in table.groupby("library").size().items()
    )
    lines = [f"- {row.library}:{row.name}: {row.errors}" for row in failed.itertuples(index=False)]
    return "\n".join([f"{len(table)} networks ({counts}): {len(failed)} false alarms.", *lines])


def _record(library: str, name: str) -> str:
    """Record one network at the smallest side that it takes; say how that went."""
    error = "it has no picture size"
    build = builder(library, name)
    for side in _sides(library, name):
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the libraries' own
                recording = record_evidence(
                    build, input_size=(3, side, side), seeds=SEEDS, batch_size=SAMPLES, run=name
                )
        except sppkit.SppkitError as caught:
            error = str(caught)
            continue
        finally:
            gc.collect()
        recording.metadata[name]["seconds"] = round(time.perf_counter() - start, 2)
        recording.metadata[name]["side"] = side
        RECORDINGS.mkdir(parents=True, exist_ok=True)
        recording.save(path_of(library, name))
        return f"{side} px, {time.perf_counter() - start:.1f} s"
    return f"left out: {error}"


def builder(library: str, name: str) -> Callable[[], nn.Module]:
    """Give a function that builds an architecture with random weights."""
    import_torchvision()
    if library == "timm":
        return find(library, name).build
    from torchvision.models import get_model

    settings: dict[str, object] = {}
    if name in ("googlenet", "inception_v3"):
        settings["init_weights"] = True
    elif name.startswith("vit"):
        settings["image_size"] = _side_of_transformer(name)
    return lambda: get_model(name, weights=None, **settings)


def _side_of_transformer(name: str) -> int:
    """Give a multiple of the patch's side, 14, 16 or 32."""
    return 224 if name.endswith("32") else 112


def _sides(library: str, name: str) -> tuple[int, ...]:
    """List sides to try; where only one is possible, that one."""
    if library == "torchvision":
        return (_side_of_transformer(name),) if name.startswith("vit") else SIDES
    import timm

    configuration = timm.get_pretrained_cfg(name)
    if configuration is None:
        return SIDES
    stated = configuration.input_size[-1]
    return (stated,) if configuration.fixed_input_size else tuple(dict.fromkeys((*SIDES, stated)))


def _judged(library: str, name: str) -> dict[str, object]:
    recording: Recording = sppkit.read(path_of(library, name))
    diagnosis = judge(recording)
    metadata = recording.metadata[name]
    errors = sorted({f.code for f in diagnosis.findings if f.severity is Severity.ERROR})
    return {
        "library": library,
        "name": name,
        "verdict": diagnosis.verdict,
        "probability": diagnosis.probability_of_training,
        "errors": " ".join(errors),
        "rehearsed": not metadata["rehearsal"]["left_out"],
        "side": metadata["side"],
        "seconds": metadata["seconds"],
    }
