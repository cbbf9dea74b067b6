"""Random numbers of other people's code, without a trace in the global generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@contextmanager
def own_randomness(generator: "torch.Generator") -> Iterator[None]:
    """Seed the generators of torch (CPU), numpy and Python from `generator`; restore them after."""
    import numpy as np
    import torch

    python, legacy = random.getstate(), np.random.get_state()
    seed = int(torch.randint(2**31, (), generator=generator))
    with torch.random.fork_rng(devices=_devices_in_use()):
        # torch.manual_seed would also seed devices that were not in use, and nobody restores them
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)


def _devices_in_use() -> list[int]:
    import torch

    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
