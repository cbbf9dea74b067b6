"""Train in two processes by a trainer: `python -m tests.integrations.two_processes NAME FOLDER`."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def run_two(name, folder):
    """Run this file in two processes of a gloo group."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "tests.integrations.two_processes"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = str(ROOT)
    run = subprocess.run(
        [*command, name, str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]


def train_by_lightning(folder):
    from sppkit.integrations.tensorboard import TensorBoardTracker
    from tests.integrations.test_lightning import Module, SignalPropagationCallback, loader, trainer

    tracker = TensorBoardTracker(folder / "logs")
    callback = SignalPropagationCallback(folder / "run", every=1, trackers=[tracker])
    options = {"devices": 2, "strategy": "ddp", "use_distributed_sampler": True}
    trainer(callback, **options).fit(Module(), loader(8))


def train_by_transformers(folder):
    from tests.integrations.test_transformers import train

    train(folder / "run", per_device_train_batch_size=8)


def train_by_accelerate(folder):
    from tests.integrations.test_accelerate import train

    train(folder / "run", batch_size=8)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    globals()[f"train_by_{sys.argv[1]}"](Path(sys.argv[2]))
