"""Random numbers that belong to one thing alone, whatever else draws numbers in between.

Data is drawn in the same order, with the same augmentation, for every network: what a network draws
(dropout, stochastic depth) and how it was initialised must not change what it sees.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

State = tuple[torch.Tensor, Any, Any]


def seed_of(*parts: object) -> int:
    """Mix a number below 2^32 from what it is to depend on.

    >>> seed_of("order", 0, 1) == seed_of("order", 0, 1)
    True
    >>> seed_of("order", 0, 1) == seed_of("order", 1, 0)
    False
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")


def generator_of(*parts: object) -> torch.Generator:
    """Make a generator of the CPU that depends on `parts` alone."""
    return torch.Generator().manual_seed(seed_of(*parts))


class RandomStream:
    """A state of the global generators of torch (CPU), numpy and Python, beside the one in force.

    Args:
        parts: what its numbers depend on.
    """

    def __init__(self, *parts: object) -> None:
        seed = seed_of(*parts)
        numpy_state = np.random.RandomState(seed).get_state(legacy=True)
        python_state = random.Random(seed).getstate()
        self._state: State = (generator_of(*parts).get_state(), numpy_state, python_state)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let the block draw from this stream; the state in force comes back behind it."""
        outside = _state()
        _set_state(self._state)
        try:
            yield
        finally:
            self._state = _state()
            _set_state(outside)


def random_state() -> dict[str, Any]:
    """Take down the generators in force, those of CUDA devices in use too, for a checkpoint."""
    cpu, (kind, key, *rest), (version, words, gauss) = _state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "torch": cpu,
        "cuda": devices,
        "numpy": [kind, torch.from_numpy(key.astype(np.int64)), *rest],
        "python": [version, list(words), gauss],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put generators where `random_state` found them; devices that are not there are left out."""
    kind, key, *rest = state["numpy"]
    version, words, gauss = state["python"]
    numpy_state = (kind, key.numpy().astype(np.uint32), *rest)
    _set_state((state["torch"], numpy_state, (version, tuple(words), gauss)))
    for device, saved in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(saved, device)


def _state() -> State:
    return torch.get_rng_state(), np.random.get_state(legacy=True), random.getstate()


def _set_state(state: State) -> None:
    torch.set_rng_state(state[0])
    np.random.set_state(state[1])
    random.setstate(state[2])
