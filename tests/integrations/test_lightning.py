"""Lightning's Trainer, recorded by a callback."""

import importlib

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import sppkit
from sppkit.errors import RecordingError
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
from tests.integrations.test_scalars import Notebook
from tests.integrations.two_processes import run_two

lightning = library("lightning.pytorch")
SignalPropagationCallback = importlib.import_module(
    "sppkit.integrations.lightning"
).SignalPropagationCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:lightning"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated"),
]


class Module(lightning.LightningModule):
    """A network and its loss, as Lightning's users write them."""

    def __init__(self, rate=RATE):
        super().__init__()
        self.network = network()
        self.loss = nn.CrossEntropyLoss()
        self.rate = rate

    def training_step(self, batch, number):
        x, y = batch
        return self.loss(self.network(x), y)

    validation_step = training_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.rate)


def trainer(*callbacks, steps=3, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    options = {"enable_checkpointing": False, "accelerator": "cpu", "devices": 1, **options}
    return lightning.Trainer(max_steps=steps, callbacks=[*callbacks], **quiet, **options)


def loader(batch_size=SAMPLES):
    return DataLoader(data(), batch_size=batch_size)


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_the_rows_are_those_of_a_plain_loop(tmp_path):
    module = Module()
    trainer(SignalPropagationCallback(tmp_path / "run", every=1)).fit(module, loader())
    recording = sppkit.read(tmp_path / "run")
    assert_same_rows(recording.table(), plain_table(3))
    assert recording.not_captured == ()
    assert recording.metadata["Sequential"]["ended"] is True
    assert hooks_on(module) == 0
    assert drawn(tmp_path / "run", tmp_path) > 10_000


def test_accumulated_and_clipped_steps_are_those_of_a_plain_loop_whatever_is_validated(tmp_path):
    module = Module()
    fit = trainer(
        SignalPropagationCallback(tmp_path / "run", every=1),
        accumulate_grad_batches=4,
        gradient_clip_val=0.01,
        val_check_interval=3,  # in the middle of a step
    )
    fit.fit(module, loader(SAMPLES // 4), loader())
    table = sppkit.read(tmp_path / "run").table()
    assert set(table["phase"]) == {"train"}
    assert set(table["passes"]) == {4}
    assert "clipped weight gradient" in set(table["signal"])
    assert_same_rows(table, plain_table(3, batches=4, clip=0.01))


def test_training_is_the_same_with_and_without(tmp_path):
    plain, recorded = Module(), Module()
    torch.manual_seed(5)
    trainer().fit(plain, loader(4), loader())
    expected = torch.rand(1)
    torch.manual_seed(5)
    callback = SignalPropagationCallback(tmp_path / "run", every=2)
    trainer(callback).fit(recorded, loader(4), loader())
    assert torch.equal(weights(plain), weights(recorded))
    assert torch.equal(expected, torch.rand(1))
    assert sorted(set(callback.recording.table()["step"])) == [0, 2]


def test_bfloat16_is_recorded_as_what_it_is(tmp_path):
    callback = SignalPropagationCallback(tmp_path / "run", every=1)
    trainer(callback, precision="bf16-mixed").fit(Module(), loader())
    table = callback.recording.table()
    outputs = table[(table["layer"] == "2") & (table["signal"] == "activation")]
    assert set(outputs["dtype"]) == {"bfloat16"}
    assert_same_rows(table, plain_table(3), rtol=0.2, statistics=["second_moment"])


def test_gradients_are_free_of_the_factor_of_a_gradient_scaler(tmp_path):
    from lightning.pytorch.plugins import MixedPrecision

    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    callback = SignalPropagationCallback(tmp_path / "run", every=1)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    trainer(callback, plugins=[plugin], gradient_clip_val=0.01).fit(Module(), loader())
    assert scaler.get_scale() == 256.0
    assert "update" not in vars(scaler)
    expected = plain_table(3, clip=0.01)
    assert_same_rows(callback.recording.table(), expected, ["second_moment"], rtol=0.05)


def test_steps_that_a_scaler_skips_are_flagged(tmp_path):
    from lightning.pytorch.plugins import MixedPrecision

    class Overflowing(Module):
        def training_step(self, batch, number):
            return super().training_step(batch, number) * (float("inf") if number == 1 else 1.0)

    callback = SignalPropagationCallback(tmp_path / "run", every=1)
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=256.0))
    trainer(callback, plugins=[plugin]).fit(Overflowing(), loader(4))
    table = callback.recording.table()
    skipped = table["flags"].astype(str).str.contains("skipped step")
    assert set(table[skipped]["step"]) == {1}


def test_a_compiled_network_inside_is_recorded(tmp_path):
    module = Module()
    module.network = torch.compile(module.network, backend="eager")
    callback = SignalPropagationCallback(tmp_path / "run", every=1)
    trainer(callback).fit(module, loader())
    assert_same_rows(callback.recording.table(), plain_table(3))


def test_a_compiled_training_step_is_refused_with_what_to_do(tmp_path):
    module = torch.compile(Module(), backend="eager")
    fit = trainer(SignalPropagationCallback(tmp_path / "run"))
    with pytest.raises(RecordingError, match=r"torch\.compile\(Module\).*self\.network = torch"):
        fit.fit(module, loader())


def test_an_exception_leaves_no_hook_and_a_recording_of_the_steps_before(tmp_path):
    class Failing(Module):
        def training_step(self, batch, number):
            loss = super().training_step(batch, number)
            if number == 2:
                raise KeyError("lost")
            return loss

    module = Failing()
    with pytest.raises(KeyError, match="lost"):
        trainer(SignalPropagationCallback(tmp_path / "run", every=1)).fit(module, loader(4))
    assert hooks_on(module) == 0
    assert sorted(set(sppkit.read(tmp_path / "run").table()["step"])) == [0, 1]


def test_a_warning_stops_the_training_where_that_is_asked_for(tmp_path):
    module = Module(rate=1e6)
    callback = SignalPropagationCallback(tmp_path / "run", every=1, stop_on="warning")
    fit = trainer(callback, steps=50)
    fit.fit(module, loader())
    assert fit.global_step < 50
    assert callback.warning.events


def test_a_resumed_run_goes_on_where_its_checkpoint_was(tmp_path):
    first = trainer(SignalPropagationCallback(tmp_path / "run", every=1), steps=2)
    first.fit(Module(), loader())
    first.save_checkpoint(tmp_path / "two.ckpt")
    later = trainer(SignalPropagationCallback(tmp_path / "run", every=1), steps=4)
    later.fit(Module(), loader(), ckpt_path=tmp_path / "two.ckpt", weights_only=False)
    again = trainer(SignalPropagationCallback(tmp_path / "run", every=1), steps=3)
    again.fit(Module(), loader(), ckpt_path=tmp_path / "two.ckpt", weights_only=False)
    recording = sppkit.read(tmp_path / "run")
    assert_same_rows(recording.table(), plain_table(3))
    assert recording.metadata["Sequential"]["recorded_steps"] == 3


def test_a_resumed_run_warns_as_one_that_was_not_interrupted(tmp_path):
    def fit(folder, steps, save=None, resume=None):
        callback = SignalPropagationCallback(tmp_path / folder, every=1)
        training = trainer(callback, steps=steps)
        options = {"ckpt_path": resume, "weights_only": False} if resume else {}
        training.fit(Module(rate=1e6), loader(), **options)
        if save:
            training.save_checkpoint(save)
        return callback.warning

    whole = fit("whole", 30)
    fit("run", 15, save=tmp_path / "half.ckpt")
    resumed = fit("run", 30, resume=tmp_path / "half.ckpt")
    assert whole.events[0].step < 15
    assert [event.as_dict() for event in resumed.events] == [e.as_dict() for e in whole.events]
    assert repr(resumed.state_dict()) == repr(whole.state_dict())  # NaN is NaN


def test_a_run_directory_is_never_overwritten(tmp_path):
    trainer(SignalPropagationCallback(tmp_path / "run")).fit(Module(), loader())
    module = Module()
    with pytest.raises(RecordingError, match="holds a recording already"):
        trainer(SignalPropagationCallback(tmp_path / "run")).fit(module, loader())
    assert hooks_on(module) == 0


def test_the_network_can_be_named(tmp_path):
    callback = SignalPropagationCallback(tmp_path / "run", module="network.2")
    trainer(callback).fit(Module(), loader())
    assert callback.recording.runs == ("Linear",)
    callback = SignalPropagationCallback(tmp_path / "other", module="net")
    with pytest.raises(ValueError, match="module='net' is no module of Module, which has network"):
        trainer(callback).fit(Module(), loader())


def test_an_optimiser_that_is_not_there_is_named(tmp_path):
    callback = SignalPropagationCallback(tmp_path / "run", optimizer=1)
    with pytest.raises(ValueError, match="optimizer=1 is none of the 1 optimisers"):
        trainer(callback).fit(Module(), loader())


def test_trackers_are_told_of_every_recorded_step(tmp_path):
    notebook = Notebook()
    callback = SignalPropagationCallback(tmp_path / "run", every=2, trackers=[notebook])
    trainer(callback, steps=5).fit(Module(), loader())
    assert sorted(notebook.scalars) == [0, 2, 4]
    assert [step for step, *_ in notebook.figures] == [0, 4]
    assert "spp.gradient.second_moment/2" in notebook.scalars[4]


def test_two_processes_are_recorded_as_one_batch_and_one_of_them_tells_the_tracker(tmp_path):
    library("tensorboard")
    run_two("lightning", tmp_path)
    assert len(list((tmp_path / "logs").glob("events*"))) == 1
    recording = sppkit.read(tmp_path / "run")
    assert set(recording.table()["rank"]) == {-1}
    expected = plain_table(3)
    assert_same_rows(recording.table(), expected)
