"""Train a network plain and recorded from identical states, and compare everything to the bit."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

import sppkit
from sppkit.capture.calls.places import tensors_in
from sppkit.capture.calls.watch import Watch
from sppkit.capture.tracing.merges import Findings, drawn_level, find_merges
from sppkit.capture.tracing.tracer import Tracer
from sppkit.recording import Recording
from tests.zoo.networks import Batch, Network

STEPS = 2  # the first is traced, the second follows the plan
LEAST_COVERAGE = 0.95
_HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
    *("_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs"),
    "_forward_hooks_always_called",
)


@dataclass
class Outcome:
    """What was found of one architecture: a row of the table.

    Attributes:
        status: "compared", "skipped" or "failed".
        remark: why it was skipped or how it failed; what differs.
        merges, ends, module_ends: merges of every level, the branch ends of all of them, and how
            many of those are the output of a module.
        drawn: merges of the level that is drawn.
        unobserved: called leaves without an activation, each with the reason given for it.
        faults: what sppkit says went wrong inside it.
    """

    library: str
    architecture: str
    status: str = "compared"
    parameters: int = 0
    inputs: str = ""
    bit_identical: bool = False
    hooks_left: int = 0
    modes_left: int = 0
    leaves: int = 0
    observed: int = 0
    merges: int = 0
    drawn: int = 0
    blocks: int = 0
    branches: int = 0
    ends: int = 0
    module_ends: int = 0
    parallel: int = 0
    concatenations: int = 0
    silent_gains: int = 0
    plain_seconds: float = 0.0
    recorded_seconds: float = 0.0
    unobserved: str = ""
    faults: str = ""
    remark: str = ""

    @property
    def coverage(self) -> float:
        """Share of the called leaves that were observed."""
        return self.observed / self.leaves if self.leaves else 1.0

    @property
    def is_good(self) -> bool:
        """Whether recording left no trace, saw enough and did not fail inside."""
        if self.status != "compared":
            return self.status == "skipped"
        left = self.hooks_left or self.modes_left
        observed = self.coverage >= LEAST_COVERAGE
        return self.bit_identical and observed and not left and not self.faults


@dataclass
class Training:
    """What a few training steps leave: tensors by name, and the state of every generator."""

    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    generators: tuple[object, ...] = ()
    seconds: float = 0.0


def compare(network: Network) -> Outcome:
    """Train a network plain and recorded, and look at what recording saw and left behind."""
    batch = network.find_batch()
    outcome = Outcome(network.library, network.name, inputs=batch.description)
    plain = train(plain_model := _seeded(network.build), batch)
    model = _seeded(network.build)
    outcome.parameters = sum(p.numel() for p in model.parameters())
    recording, recorded = _train_recorded(model, batch)
    outcome.plain_seconds, outcome.recorded_seconds = plain.seconds, recorded.seconds
    differing = differences(plain, recorded)
    if differing and differences(plain, train(_seeded(network.build), batch)):
        raise RuntimeError("two plain runs differ: the network itself is not reproducible")
    outcome.bit_identical, outcome.remark = not differing, ", ".join(differing[:5])
    outcome.hooks_left = count_hooks(model) - count_hooks(plain_model)
    outcome.modes_left = torch.overrides._len_torch_function_stack()
    _note_observed(outcome, plain_model, batch, recording)
    _note_topology(outcome, plain_model, batch, recording)
    return outcome


def train(
    model: nn.Module, batch: Batch, recording: Callable[..., object] | None = None
) -> Training:
    """Take a few steps of gradient descent and keep everything that came of them."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    training, began = Training(), time.perf_counter()
    _seed(1)
    with recording(optimizer) if recording else nullcontext():
        for step in range(STEPS):
            optimizer.zero_grad()
            output = batch.run(model)
            outputs = list(tensors_in(output))
            sum(t.pow(2).mean() for _, t in outputs if t.requires_grad).backward()
            named = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
            for kind, tensors in (("output", outputs), ("gradient", named)):
                for name, tensor in tensors:
                    training.tensors[f"{kind} {name} of step {step}"] = tensor.detach().clone()
            optimizer.step()
    training.seconds = time.perf_counter() - began
    training.tensors |= dict(_state(model))
    training.generators = _generators()
    return training


def differences(one: Training, other: Training) -> list[str]:
    """Name what differs between two trainings, in any bit."""
    if one.tensors.keys() != other.tensors.keys():
        return sorted(one.tensors.keys() ^ other.tensors.keys())
    names = [n for n in one.tensors if not _same_bits(one.tensors[n], other.tensors[n])]
    return names + ["random generators"] * (one.generators != other.generators)


def count_hooks(model: nn.Module) -> int:
    """Count the hooks on a model's modules and parameters."""
    on_modules = sum(len(getattr(m, name)) for m in model.modules() for name in _HOOKS)
    tensors = [*model.parameters(), *model.buffers()]
    return on_modules + sum(len(t._backward_hooks or ()) for t in tensors)


def called_leaves(model: nn.Module, batch: Batch) -> list[str]:
    """Name the modules without submodules that a forward pass calls; asks torch, not sppkit."""
    called: dict[str, None] = {}
    handles = [
        module.register_forward_hook(lambda *_, name=name: called.setdefault(name))
        for name, module in model.named_modules(remove_duplicate=True)
        if not [child for child, _ in module.named_children() if child != "parametrizations"]
        and "parametrizations" not in name.split(".")
    ]
    with torch.no_grad():
        batch.run(model)
    for handle in handles:
        handle.remove()
    return list(called)


def traced_findings(model: nn.Module, batch: Batch) -> Findings:
    """Trace a forward pass and find its merges."""
    tracer, faults = Tracer(model), list[str]()
    watch = Watch(
        model, [tracer], operations=True, on_missing=lambda layer, reason: faults.append(reason)
    )
    watch.attach()
    with torch.no_grad():
        batch.run(model)
    watch.detach()
    if faults:
        raise RuntimeError(faults[0])
    return find_merges(tracer.graph)


def _train_recorded(model: nn.Module, batch: Batch) -> tuple[Recording, Training]:
    recordings = []

    def recording(optimizer: torch.optim.Optimizer) -> Recording:
        recordings.append(sppkit.record(model, optimizer=optimizer))
        return recordings[0]

    training = train(model, batch, recording)
    return recordings[0], training


def _note_observed(outcome: Outcome, model: nn.Module, batch: Batch, recording: Recording) -> None:
    table = recording.table()
    seen = set(table.loc[table["signal"] == "activation", "layer"].astype(str))
    leaves = called_leaves(model, batch)
    missing = [leaf for leaf in leaves if leaf not in seen]
    outcome.leaves, outcome.observed = len(leaves), len(leaves) - len(missing)
    reasons = {entry.layer: entry.reason for entry in recording.not_captured}
    said = {leaf: _reason(leaf, reasons) for leaf in missing}
    outcome.unobserved = "; ".join(f"{leaf}: {reason}" for leaf, reason in said.items())
    faults = [str(entry) for entry in recording.not_captured if "failed" in entry.reason]
    outcome.faults = "; ".join(faults[:5])


def _reason(leaf: str, reasons: dict[str, str]) -> str:
    """Find what was said of a layer, or of one of the tensors it returned."""
    said = (reason for layer, reason in reasons.items() if f"{layer}.".startswith(f"{leaf}."))
    return next(said, "no reason given")


def _note_topology(outcome: Outcome, model: nn.Module, batch: Batch, recording: Recording) -> None:
    findings = traced_findings(model, batch)
    level = drawn_level(findings.merges)
    ends = [end for merge in findings.merges for end in merge.ends]
    table = recording.table()
    is_shown = (table["signal"] == "activation") & (table["step"] == 0)
    taps = table.loc[is_shown, "tap"].value_counts()
    outcome.merges = len(findings.merges)
    outcome.drawn = sum(merge.level == level for merge in findings.merges)
    outcome.ends, outcome.module_ends = len(ends), sum(bool(end.node.emitted) for end in ends)
    outcome.blocks = int(taps.get("block", 0))
    outcome.branches = int(taps.get("residual branch", 0))
    outcome.parallel = len(findings.parallel)
    outcome.concatenations = len(findings.concatenations)
    (metadata,) = recording.metadata.values()
    outcome.silent_gains = len(metadata.get("silent_residual_gains", ()))


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    _seed(0)
    return build().train()


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _generators() -> tuple[object, ...]:
    numpy_state = np.random.get_state()
    return (
        torch.get_rng_state().numpy().tobytes(),
        (numpy_state[1].tobytes(), *numpy_state[2:]),
        random.getstate(),
    )


def _state(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    modes = torch.tensor([module.training for module in model.modules()])
    yield "modes", modes
    for kind, tensors in (
        ("parameter", model.named_parameters()),
        ("buffer", model.named_buffers()),
    ):
        for name, tensor in tensors:
            yield f"{kind} {name}", tensor.detach()


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Compare as bytes, so that a NaN equals itself and -0.0 does not equal 0.0."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (one, other)))
