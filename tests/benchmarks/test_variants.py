"""Every variant runs, says what it did, and leaves the model as it was."""

import pytest
import torch

from benchmarks import peers
from benchmarks.compiled import compiled_sides
from benchmarks.measurement import Request, Status
from benchmarks.measuring import choose, make_bench, measure_overhead
from benchmarks.pairs import Effort
from benchmarks.variants import VARIANTS
from benchmarks.workloads import WORKLOADS, Circumstances

HERE = [variant.name for variant in VARIANTS if not variant.name.startswith("compiled")]
PEERS = ("timm", "wandb")
UNTROUBLED = [name for name in HERE if name not in PEERS]


@pytest.fixture(autouse=True)
def threads_as_found():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def full_backward_hooks_of_first_layers_warn(recwarn):
    """Torch warns once that the input of the network has no gradient: the naive way has it so."""


def request(workload, variant, **circumstances):
    return Request(
        workload,
        variant,
        circumstances=Circumstances(small=True, **circumstances),
        effort=Effort(pairs=2, seconds=0.0),
    )


@pytest.mark.parametrize("variant", [name for name in UNTROUBLED if name != "naive"])
@pytest.mark.parametrize("workload", ["mlp", "resnet18"])
def test_a_variant_is_measured(workload, variant):
    answer = measure_overhead(request(workload, variant))
    assert answer.status is Status.MEASURED, answer.notes
    assert answer.result.processor_ratio.median > 0
    assert answer.result.steps == (10 if variant == "every-10" else 1)


@pytest.mark.parametrize("variant", UNTROUBLED)
def test_hooks_are_gone_when_a_variant_is_over(variant):
    bench = make_bench(request("mlp", variant))
    with choose(VARIANTS, variant).open(bench) as sides:
        for turn in (sides.plain, sides.other, sides.plain, sides.other):
            turn(1, 2)
    for module in bench.training.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert not bench.training.optimizer._optimizer_step_pre_hooks


def test_a_recording_reads_all_that_was_asked_for():
    mlp = {"activation": 8, "gradient": 8, "weight": 8, "weight gradient": 8}
    assert measure_overhead(request("mlp", "every-step")).rows == mlp
    assert measure_overhead(request("mlp", "every-10")).rows == mlp
    assert measure_overhead(request("mlp", "forward-only")).rows == {"activation": 8}
    assert measure_overhead(request("mlp", "update")).rows == {**mlp, "update": 8}


def test_one_step_in_ten_is_recorded_in_every_turn():
    bench = make_bench(request("mlp", "every-10"))
    recorded = []
    with choose(VARIANTS, "every-10").open(bench) as sides:
        for _ in range(3):
            sides.other(1, 10)
            table = sides.rows.__self__._recorder.table()
            recorded.append(sorted(set(table["step"])))
    assert recorded == [[0, 10], [0, 10, 20], [0, 10, 20, 30]]


def test_the_kernel_that_was_in_use_is_named_where_one_reads():
    assert measure_overhead(request("mlp", "every-step")).kernel
    assert measure_overhead(request("mlp", "empty")).kernel == ""


def test_the_naive_collector_is_measured_without_in_place_operations_where_it_raises():
    answer = measure_overhead(request("resnet18", "naive"))
    assert answer.status is Status.MEASURED
    (note,) = answer.notes
    assert note.startswith(
        "raises with in-place operations, measured without them on both sides (RuntimeError: "
        "Output 0 of BackwardHookFunction is a view"
    )
    assert not measure_overhead(request("mlp", "naive")).notes


@pytest.mark.parametrize("peer", PEERS)
def test_an_absent_peer_is_said_to_be_absent(peer, monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    answer = measure_overhead(request("mlp", peer))
    assert answer.status is Status.ABSENT
    assert answer.notes == (f"{peer} is not installed here (pip install {peer})",)
    assert answer.result is None


def test_what_a_variant_raises_is_its_answer(monkeypatch):
    def failing(*arguments, **keywords):
        raise RuntimeError("no such luck. And more of it\nover lines")

    monkeypatch.setattr("benchmarks.recordings.start_recording", failing)
    answer = measure_overhead(request("mlp", "every-step"))
    assert (answer.status, answer.notes) == (Status.RAISES, ("RuntimeError: no such luck",))


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'mlpp' is unknown; choose of \['mlp', 'effb0'"):
        choose(WORKLOADS, "mlpp")


@pytest.mark.slow
def test_compiled_sides_take_turns_in_processes_of_their_own():
    bench = make_bench(request("mlp", "compiled"))
    with compiled_sides(bench, {"every": 2}, backend="aot_eager") as sides:
        readings = [turn(1, 2) for turn in (sides.plain, sides.other)]
        rows = sides.rows()
    assert all(reading.processor > 0 for reading in readings)
    assert rows == {"activation": 8, "gradient": 8, "weight": 8, "weight gradient": 8}
