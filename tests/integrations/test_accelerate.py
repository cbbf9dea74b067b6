"""A loop of Accelerate, recorded."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import sppkit
from sppkit.integrations.accelerate import record
from tests.integrations import library
from tests.integrations.cases import (
    RATE,
    SAMPLES,
    assert_same_rows,
    data,
    drawn,
    hooks_on,
    network,
    plain_table,
)
from tests.integrations.two_processes import run_two

accelerate = library("accelerate")

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:accelerate"),
    pytest.mark.filterwarnings("ignore::FutureWarning:accelerate"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.utils.data"),
]


@pytest.fixture(autouse=True)
def fresh_state():
    """The state of Accelerate is one for all of the process."""
    yield
    accelerate.state.AcceleratorState._reset_state(True)
    accelerate.state.GradientState._reset_state()


def train(folder, batch_size=SAMPLES, clip=None, scaler=None, model=None, **options):
    """Train for three epochs, recorded."""
    accelerator = accelerate.Accelerator(cpu=True, **options)
    model = model or network()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    loader = DataLoader(data(), batch_size=batch_size)
    accelerator.scaler = scaler
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    with record(accelerator, model, optimizer, run_directory=folder) as recording:
        for _ in range(3):
            for x, y in loader:
                with accelerator.accumulate(model):
                    loss = nn.functional.cross_entropy(model(x), y)
                    accelerator.backward(loss)
                    if clip and accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(model.parameters(), clip)
                    optimizer.step()
                    optimizer.zero_grad()
    return recording


def test_the_rows_are_those_of_a_plain_loop(tmp_path):
    model = network()
    train(tmp_path / "run", model=model)
    recording = sppkit.read(tmp_path / "run")
    assert_same_rows(recording.table(), plain_table(3))
    assert hooks_on(model) == 0
    assert drawn(tmp_path / "run", tmp_path) > 10_000


def test_accumulated_and_clipped_steps_are_those_of_a_plain_loop(tmp_path):
    options = {"batch_size": SAMPLES // 4, "gradient_accumulation_steps": 4, "clip": 0.01}
    table = train(tmp_path / "run", **options).table()
    assert set(table["passes"]) == {4}
    assert "clipped weight gradient" in set(table["signal"])
    assert_same_rows(table, plain_table(3, batches=4, clip=0.01))


def test_bfloat16_is_recorded_as_what_it_is(tmp_path):
    table = train(tmp_path / "run", mixed_precision="bf16").table()
    outputs = table[(table["layer"] == "2") & (table["signal"] == "activation")]
    assert set(outputs["dtype"]) == {"bfloat16"}
    assert_same_rows(table, plain_table(3), ["second_moment"], rtol=0.2)


def test_gradients_are_free_of_the_factor_of_a_gradient_scaler(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    table = train(tmp_path / "run", scaler=scaler).table()
    assert scaler.get_scale() == 256.0
    assert "update" not in vars(scaler)
    assert_same_rows(table, plain_table(3))


def test_a_model_that_is_compiled_by_the_accelerator_is_recorded(tmp_path):
    recording = train(tmp_path / "run", dynamo_backend="eager")
    assert recording.not_captured == ()
    assert_same_rows(recording.table(), plain_table(3))


def test_what_was_not_prepared_is_refused():
    accelerator = accelerate.Accelerator(cpu=True)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with pytest.raises(TypeError, match=r"optimizer must be what accelerator\.prepare returned"):
        record(accelerator, model, optimizer)
    with pytest.raises(TypeError, match=r"must be an accelerate\.Accelerator, not Sequential"):
        record(model, accelerator, optimizer)


def test_two_processes_are_recorded_as_one_batch(tmp_path):
    run_two("accelerate", tmp_path)
    table = sppkit.read(tmp_path / "run").table()
    assert set(table["rank"]) == {-1}
    assert_same_rows(table, plain_table(3))
