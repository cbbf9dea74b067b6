"""Train a small residual network on two processes and record it as if it were one.

    torchrun --standalone --nproc-per-node 2 examples/distributed.py

Writes `distributed.parquet`, or the path given. On GPUs, choose the backend "nccl" and put model
and data on the device of the rank; the recording stays as it is.
"""

import sys

import torch
import torch.distributed as dist
from model import Net
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import sppkit

STEPS, SAMPLES_PER_RANK = 3, 8


def main(path: str) -> None:
    """Train for a few steps, record each, save on rank 0."""
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = DistributedDataParallel(Net(width=8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    torch.manual_seed(dist.get_rank())  # each rank draws its own samples

    with sppkit.record(model, optimizer=optimizer) as recording:
        for _ in range(STEPS):
            images = torch.randn(SAMPLES_PER_RANK, 1, 32, 32)
            classes = torch.randint(10, (SAMPLES_PER_RANK,))
            optimizer.zero_grad()
            cross_entropy(model(images), classes).backward()
            optimizer.step()

    recording.save(path)  # on every rank; rank 0 writes, the others have nothing to add
    if dist.get_rank() == 0:
        print(recording)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:] or ["distributed.parquet"])
