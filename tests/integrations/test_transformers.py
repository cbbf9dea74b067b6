"""Hugging Face's Trainer, recorded by a callback."""

import importlib
import json

import pytest
import torch
from torch import nn
from torch.utils.data import SequentialSampler

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

transformers = library("transformers")
library("accelerate")
integration = importlib.import_module("sppkit.integrations.transformers")
SignalPropagationCallback, outermost = integration.SignalPropagationCallback, integration.outermost

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore::UserWarning:transformers"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.utils.data"),
]


class Model(nn.Module):
    """A network with a loss inside, as the Trainer wants it."""

    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x, labels):
        logits = self.network(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def collate(pairs):
    x, y = zip(*pairs, strict=True)
    return {"x": torch.stack(x), "labels": torch.stack(y)}


class InOrder(transformers.Trainer):
    def _get_train_sampler(self, *_):
        return SequentialSampler(data())


def make_trainer(model, folder, *callbacks, **options):
    options = {"max_steps": 3, "save_strategy": "no", "max_grad_norm": 0.0, **options}
    options = {"per_device_train_batch_size": SAMPLES, **options}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder.parent / "output"),
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        lr_scheduler_type="constant",
        learning_rate=RATE,
        **{
            "max_steps": 3,
            "save_strategy": "no",
            "per_device_train_batch_size": SAMPLES,
            **options,
        },
    )
    return InOrder(
        model,
        arguments,
        train_dataset=data(),
        eval_dataset=data(),
        data_collator=collate,
        callbacks=[*callbacks],
        optimizers=(torch.optim.SGD(model.parameters(), lr=RATE), None),
    )


def expected_table(*arguments, **options):
    """Give the rows of the plain loop but for those of the network as a whole, which is inside."""
    table = plain_table(*arguments, **options)
    return table[table["layer"] != ""]


def train(folder, model=None, resume=None, every=1, **options):
    """Train for three steps, recorded."""
    model = model or Model()
    callback = SignalPropagationCallback(
        folder, every=every, include="network*", **options.pop("recorded", {})
    )
    make_trainer(model, folder, callback, **options).train(resume_from_checkpoint=resume)
    return callback


def test_the_rows_are_those_of_a_plain_loop(tmp_path):
    model = Model()
    train(tmp_path / "run", model)
    recording = sppkit.read(tmp_path / "run")
    table = recording.table()
    assert_same_rows(table, expected_table(3))
    assert recording.metadata["Model"]["ended"] is True
    assert hooks_on(model) == 0
    assert drawn(tmp_path / "run", tmp_path) > 10_000


def test_accumulated_and_clipped_steps_are_those_of_a_plain_loop_whatever_is_evaluated(tmp_path):
    options = {"gradient_accumulation_steps": 4, "per_device_train_batch_size": SAMPLES // 4}
    options |= {"max_grad_norm": 0.01, "eval_strategy": "steps", "eval_steps": 1}
    callback = train(tmp_path / "run", **options)
    table = callback.recording.table()
    assert set(table["phase"]) == {"train"}
    assert set(table["passes"]) == {4}
    assert "clipped weight gradient" in set(table["signal"])
    expected = expected_table(3, batches=4, clip=0.01)
    assert_same_rows(table, expected)


def test_training_is_the_same_with_and_without(tmp_path):
    plain, recorded = Model(), Model()
    make_trainer(plain, tmp_path / "none").train()
    train(tmp_path / "run", recorded)
    for expected, found in zip(plain.parameters(), recorded.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_bfloat16_is_recorded_as_what_it_is(tmp_path):
    table = train(tmp_path / "run", bf16=True).recording.table()
    outputs = table[(table["layer"] == "network.2") & (table["signal"] == "activation")]
    assert set(outputs["dtype"]) == {"bfloat16"}


def test_gradients_are_free_of_the_factor_of_a_gradient_scaler(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    callback = SignalPropagationCallback(tmp_path / "run", every=1, include="network*")
    trainer = make_trainer(Model(), tmp_path / "run", callback)
    trainer.accelerator.scaler = scaler  # fp16=True would make one, on a GPU alone
    trainer.train()
    assert scaler.get_scale() == 256.0
    assert scaler.state_dict()["_growth_tracker"] == 3  # steps that it took
    assert "update" not in vars(scaler)
    assert_same_rows(callback.recording.table(), expected_table(3))


def test_a_model_that_the_trainer_compiles_is_recorded(tmp_path):
    callback = train(tmp_path / "run", torch_compile=True, torch_compile_backend="eager")
    table = callback.recording.table()
    assert callback.recording.not_captured == ()
    assert_same_rows(table, expected_table(3))


def test_what_is_called_in_the_place_of_a_model_is_found_around_it():
    model = Model()
    assert outermost(model) is model
    copies = nn.DataParallel(model)
    assert outermost(model) is copies
    with pytest.raises(TypeError, match=r"nn\.DataParallel runs short-lived copies"):
        sppkit.record(outermost(model))
    compiled = torch.compile(copies, backend="eager")
    assert outermost(model) is compiled


def test_a_resumed_run_goes_on_where_its_checkpoint_was(tmp_path):
    steps = {"save_strategy": "steps", "save_steps": 2}
    train(tmp_path / "run", **steps)
    checkpoint = str(tmp_path / "output" / "checkpoint-2")
    train(tmp_path / "run", resume=checkpoint, **steps)
    table = sppkit.read(tmp_path / "run").table()
    assert_same_rows(table, expected_table(3))


def text_of(warning):
    """Write a state so that NaN equals NaN."""
    return json.dumps(warning.state_dict(), sort_keys=True)


def train_too_fast(folder, **options):
    """Train for so long at such a rate that there are warnings, before step 15 and after it."""
    model = Model()
    callback = SignalPropagationCallback(folder, every=1, include="network*")
    steps = {"max_steps": 30, "save_strategy": "steps", "save_steps": 15}
    trainer = make_trainer(model, folder, callback, **steps)
    trainer.optimizer.param_groups[0]["lr"] = 1e6
    trainer.train(**options)
    return callback.warning


def test_a_resumed_run_warns_as_one_that_was_not_interrupted(tmp_path):
    whole = train_too_fast(tmp_path / "run")
    checkpoint = str(tmp_path / "output" / "checkpoint-15")
    resumed = train_too_fast(tmp_path / "run", resume_from_checkpoint=checkpoint)
    assert whole.events[0].step < 15
    assert [event.as_dict() for event in resumed.events] == [e.as_dict() for e in whole.events]
    assert text_of(resumed) == text_of(whole)
    other = train_too_fast(tmp_path / "another", resume_from_checkpoint=checkpoint)
    assert text_of(other) != text_of(whole)  # the state is that of another run directory


def test_a_callback_that_trains_anew_warns_anew(tmp_path):
    callback = SignalPropagationCallback(tmp_path / "run", every=1, include="network*")
    make_trainer(Model(), tmp_path / "run", callback, max_steps=12).train()
    callback._attachment._run_directory = tmp_path / "again"
    make_trainer(Model(), tmp_path / "again", callback, max_steps=12).train()
    steps = callback.warning.state_dict()["watch"]["history"]
    first = train(tmp_path / "third", max_steps=12).warning.state_dict()["watch"]["history"]
    assert repr(steps) == repr(first)


class Trial(dict):
    """What the Trainer asks of a trial of Optuna's: a number and what was suggested."""

    number = 0

    @property
    def params(self):
        return dict(self)


def test_each_trial_of_a_search_has_a_recording_of_its_own(tmp_path):
    callback = SignalPropagationCallback(tmp_path / "run", every=1, include="network*")
    trainer = make_trainer(Model(), tmp_path / "run", callback)
    trainer.model_init = Model
    trainer.hp_search_backend = transformers.trainer_utils.HPSearchBackend.OPTUNA
    trainer.hp_space = dict
    trials = [Trial(max_steps=steps) for steps in (2, 3, 4)]
    for trial in trials[:2]:
        trainer.train(trial=trial)
    trainer.hp_name = lambda trial: f"../{trial['max_steps']} steps"
    trainer.train(trial=trials[2])
    folders = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert folders == ["_4_steps", "trial-0", "trial-1"]
    for name, steps in zip(folders, (4, 2, 3), strict=True):
        table = sppkit.read(tmp_path / "run" / name).table()
        assert table["step"].nunique() == steps


def test_an_exception_leaves_a_recording_and_after_close_no_hook(tmp_path):
    class Failing(Model):
        def forward(self, x, labels):
            found = super().forward(x, labels)
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 3:
                raise KeyError("lost")
            return found

    model = Failing()
    callback = SignalPropagationCallback(tmp_path / "run", every=1)
    with pytest.raises(KeyError, match="lost"):
        make_trainer(model, tmp_path / "run", callback).train()
    callback.close()
    assert hooks_on(model) == 0
    steps = sppkit.read(tmp_path / "run").table()["step"]
    assert {0, 1} <= set(steps)


def test_a_warning_stops_the_training_where_that_is_asked_for(tmp_path):
    model = Model()
    callback = SignalPropagationCallback(tmp_path / "run", every=1, stop_on="warning")
    trainer = make_trainer(model, tmp_path / "run", callback, max_steps=50)
    for group in trainer.optimizer.param_groups:
        group["lr"] = 1e6
    trainer.train()
    assert trainer.state.global_step < 50
    assert callback.warning.events


def test_trackers_are_told_of_every_recorded_step(tmp_path):
    notebook = Notebook()
    train(tmp_path / "run", every=2, max_steps=5, recorded={"trackers": [notebook]})
    assert sorted(notebook.scalars) == [0, 2, 4]
    assert "spp.gradient.second_moment/network.2" in notebook.scalars[4]


def test_a_run_directory_is_never_overwritten(tmp_path):
    train(tmp_path / "run")
    model = Model()
    with pytest.raises(RecordingError, match="holds a recording already"):
        train(tmp_path / "run", model)
    assert hooks_on(model) == 0


def test_a_bert_of_the_library_is_recorded(tmp_path):
    configuration = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=50,
        num_labels=3,
    )
    model = transformers.BertForSequenceClassification(configuration)
    tokens = torch.randint(1, 50, (SAMPLES, 8))
    examples = [{"input_ids": t, "labels": t[0] % 3} for t in tokens]
    callback = SignalPropagationCallback(tmp_path / "run", every=1)
    trainer = make_trainer(model, tmp_path / "run", callback)
    trainer.train_dataset, trainer.data_collator = examples, transformers.default_data_collator
    trainer.train()
    structure = callback.recording.structure()
    assert structure["merge"].notna().any()
    assert drawn(tmp_path / "run", tmp_path) > 10_000


def test_two_processes_are_recorded_as_one_batch(tmp_path):
    run_two("transformers", tmp_path)
    table = sppkit.read(tmp_path / "run").table()
    assert set(table["rank"]) == {-1}
    assert_same_rows(table, expected_table(3))
