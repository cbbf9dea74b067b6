"""Run a model aside: to see what it is made of, or to measure it, and leave it as it was."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import nn

from sppkit.capture.calls.compiled_modules import original, run_eagerly
from sppkit.capture.calls.depth import inside_probe
from sppkit.capture.planning.options import Options
from sppkit.capture.recorder import Recorder
from sppkit.capture.steps.session import Session
from sppkit.capture.steps.state import isolated_randomness, left_as_found, without_fused_attention
from sppkit.capture.tracing.graph import Graph
from sppkit.capture.tracing.merges import Merge, drawn_level, find_merges
from sppkit.signals import Phase, Signal

Run = Callable[[nn.Module], object]
"""Runs the forward of the model that it is given."""


@dataclass(frozen=True)
class Trace:
    """What one forward pass says of a network.

    Attributes:
        graph: which tensor came from which.
        merges: sums of residual branches and skip paths that a signal propagation plot draws.
        nested: other sums of branches and skip paths: inside a branch, or around several blocks.
    """

    graph: Graph
    merges: tuple[Merge, ...]
    nested: tuple[Merge, ...]


def as_run(args: tuple[Any, ...], run: Run | None) -> Run:
    """Make a function that runs a model, of the arguments of its forward.

    Raises:
        ValueError: there are neither arguments nor a function, or both.
    """
    if bool(args) == (run is not None):
        raise ValueError(
            "give the arguments of the model's forward, such as a batch of inputs, or run=function "
            f"of the model that calls it: got {len(args)} arguments and run={run}"
        )
    return run or (lambda model: model(*args))


def trace(model: nn.Module, run: Run) -> Trace:
    """Follow the tensors of one forward pass, in eval mode.

    Raises:
        ValueError: the model was not called.
    """
    session = Session(original(model), Options(signals=frozenset()))
    with _aside(model):
        original(model).eval()
        session.attach()
        try:
            run(original(model))
        finally:
            session.detach()
    _, graph, _ = session.traced()
    findings = find_merges(graph)
    level = drawn_level(findings.merges)
    drawn = tuple(merge for merge in findings.merges if merge.level == level)
    others = [merge for merge in findings.merges if merge.level != level]
    return Trace(graph, drawn, (*others, *findings.spanning))


def measure(model: nn.Module, run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Record the activations of one forward pass, in the mode that the model is in.

    Returns:
        The table and the structure of the recording; see docs/architecture.md.
    """
    options = Options(signals=frozenset({Signal.ACTIVATION}), phase=Phase.PROBE)
    recorder = Recorder(original(model), options, run=type(original(model)).__name__)
    with _aside(model), recorder:
        run(original(model))
    return recorder.table(), recorder.structure()


@contextmanager
def _aside(model: nn.Module) -> Iterator[None]:
    """Leave no trace: of weights, buffers, random numbers, or in the recordings of others."""
    with inside_probe(), isolated_randomness(0), without_fused_attention(), ExitStack() as stack:
        stack.enter_context(run_eagerly(model))
        stack.enter_context(left_as_found(original(model)))
        stack.enter_context(torch.no_grad())
        yield
