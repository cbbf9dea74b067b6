"""TensorBoard, Weights & Biases and MLflow are told of a recording, and read back."""

import json
import pickle

import pytest
import torch

import sppkit
from tests.integrations import library
from tests.integrations.test_scalars import chain, train

FAST = 1e3  # a rate at which the early warning has something to say


def expected(recording):
    """Give the numbers that are told by default of a chain: step by name."""
    table = recording.table()
    rows = table[(table["signal"] == "gradient") & (table["role"] == "leaf")]
    name = "spp.gradient.second_moment/" + rows["layer"].astype(str)
    return dict(zip(zip(name, rows["step"], strict=True), rows["second_moment"], strict=True))


class TestTensorBoard:
    @pytest.fixture(autouse=True)
    def installed(self):
        library("tensorboard")

    def read(self, folder):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()

    def test_the_event_files_hold_scalars_figures_and_warnings(self, tmp_path):
        from sppkit.integrations.tensorboard import TensorBoardTracker

        tracker = TensorBoardTracker(tmp_path)
        recording = train(chain(3), torch.ones(8, 4), tracker, steps=30, rate=FAST)
        events = self.read(tmp_path)
        for (name, step), value in expected(recording).items():
            read = {event.step: event.value for event in events.Scalars(name)}
            assert read[step] == pytest.approx(value, rel=1e-6, nan_ok=True)
        images = events.Images("spp/signal_propagation")
        assert [image.step for image in images] == [0, 29]
        assert images[0].width > 300
        texts = [tag for tag in events.Tags()["tensors"] if tag.startswith("spp/SPP6")]
        said = events.Tensors(texts[0])[0].tensor_proto.string_val[0].decode()
        assert said.startswith("**")
        assert "SPP6" in said

    def test_it_can_be_sent_to_another_process(self, tmp_path):
        from sppkit.integrations.tensorboard import TensorBoardTracker

        tracker = pickle.loads(pickle.dumps(TensorBoardTracker(tmp_path)))
        train(chain(2), torch.randn(8, 4), tracker, steps=1)
        assert self.read(tmp_path).Tags()["scalars"]

    def test_a_writer_of_the_loop_is_used_and_left_open(self, tmp_path):
        from torch.utils.tensorboard import SummaryWriter

        from sppkit.integrations.tensorboard import TensorBoardTracker

        writer = SummaryWriter(str(tmp_path))
        tracker = TensorBoardTracker(writer, figures=False)
        train(chain(2), torch.randn(8, 4), tracker, steps=1)
        writer.add_scalar("mine", 1.0, 0)
        writer.close()
        tags = self.read(tmp_path).Tags()["scalars"]
        assert {"mine", "spp.gradient.second_moment/0"} <= set(tags)
        assert len(list(tmp_path.glob("events*"))) == 1


class TestWandb:
    @pytest.fixture(autouse=True)
    def offline(self, tmp_path, monkeypatch):
        self.wandb = library("wandb")
        monkeypatch.setenv("WANDB_DIR", str(tmp_path))
        monkeypatch.setenv("WANDB_SILENT", "true")
        monkeypatch.setenv("WANDB_CONSOLE", "off")

    def history(self, records):
        """Give the rows of the history."""
        for record in records:
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                yield {
                    (item.key or "/".join(item.nested_key)): json.loads(item.value_json)
                    for item in items
                }

    @pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb")
    def test_the_offline_run_holds_scalars_figures_and_alerts(self, tmp_path):
        from sppkit.integrations.wandb import WandbTracker

        with self.wandb.init(project="test", mode="offline") as run:
            tracker = WandbTracker()
            recording = train(chain(3), torch.ones(8, 4), tracker, steps=30, rate=FAST)
            folder = run.dir
        self.wandb.teardown()  # which waits until all is written
        records = list(read_offline_run(folder))
        rows = list(self.history(records))
        told = {
            (name, row["spp.step"]): value
            for row in rows
            for name, value in row.items()
            if name.startswith("spp.gradient")
        }
        for key, value in expected(recording).items():
            assert float(told[key]) == pytest.approx(value, rel=1e-6, nan_ok=True)
        pictures = [row for row in rows if "spp/signal_propagation/path" in row]
        assert [row["spp.step"] for row in pictures] == [0, 29]
        alerts = [r.alert for r in records if r.WhichOneof("record_type") == "alert"]
        told = [(alert.title, alert.level) for alert in alerts]
        assert told == [("SPP610 numbers not finite", "ERROR")]

    @pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb")
    def test_a_loop_that_numbers_its_rows_loses_none_of_them(self, tmp_path):
        from sppkit.integrations.wandb import WandbTracker

        model = chain(2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        with (
            self.wandb.init(project="test", mode="offline") as run,
            sppkit.record(model, optimizer=optimizer, every=2) as recording,
        ):
            WandbTracker(numbered=True, figures=False).follow(recording)
            for step in range(6):
                loss = model(torch.ones(8, 4)).pow(2).mean()
                loss.backward()
                optimizer.step()
                run.log({"loss": float(loss.detach())}, step=step)
            folder = run.dir
        self.wandb.teardown()
        rows = list(self.history(read_offline_run(folder)))
        assert [row["_step"] for row in rows] == [0, 1, 2, 3, 4, 5]
        assert all("loss" in row for row in rows)
        assert [row["_step"] for row in rows if "spp.step" in row] == [0, 2, 4]

    def test_without_a_run_one_is_told_to_begin_one(self):
        from sppkit.integrations.wandb import WandbTracker

        tracker = WandbTracker()
        with pytest.raises(RuntimeError, match=r"no run of Weights & Biases.*call wandb\.init"):
            train(chain(1), torch.randn(8, 4), tracker)


def read_offline_run(folder):
    """Read the records of a run's transaction log: a header, then blocks of 32 KiB (LevelDB's)."""
    from pathlib import Path

    from wandb.proto import wandb_internal_pb2

    (path,) = Path(folder).parent.glob("*.wandb")
    content, position, parts = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        size = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        parts += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow")
@pytest.mark.filterwarnings("ignore::FutureWarning:mlflow")
class TestMLflow:
    @pytest.fixture(autouse=True)
    def store(self, tmp_path, monkeypatch):
        self.mlflow = library("mlflow")
        library("sqlalchemy")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        self.mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
        yield
        self.mlflow.set_tracking_uri(None)

    def test_the_run_holds_metrics_figures_and_warnings(self, tmp_path):
        from sppkit.integrations.mlflow import MLflowTracker

        with self.mlflow.start_run() as run:
            tracker = MLflowTracker()
            recording = train(chain(3), torch.ones(8, 4), tracker, steps=30, rate=FAST)
        client, number = self.mlflow.MlflowClient(), run.info.run_id
        for name in {name for name, _ in expected(recording)}:
            history = {m.step: m.value for m in client.get_metric_history(number, name)}
            for (wanted, step), value in expected(recording).items():
                if wanted == name and value == value and abs(value) < 1e300:
                    assert history[step] == pytest.approx(value, rel=1e-6)
        figures = client.list_artifacts(number, "spp/signal_propagation")
        assert [f.path.rpartition("/")[2] for f in figures] == [
            "step-000000.png",
            "step-000029.png",
        ]
        tags = client.get_run(number).data.tags
        codes = [tag for tag in tags if tag.startswith("spp.SPP6")]
        assert codes
        events = self.mlflow.artifacts.load_dict(f"runs:/{number}/spp/events.json")["events"]
        assert {f"spp.{event['evidence']['code']}" for event in events} == set(codes)

    def test_without_a_run_one_is_told_to_begin_one(self):
        from sppkit.integrations.mlflow import MLflowTracker

        with pytest.raises(RuntimeError, match=r"no run of MLflow.*call mlflow\.start_run"):
            train(chain(1), torch.randn(8, 4), MLflowTracker())
