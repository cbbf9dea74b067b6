import os

import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:  # workers, and the processes that they start, share cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
