"""Read large activations and gradients over their first samples only, and say so."""

import re
from typing import NamedTuple

from sppkit.capture.calls.places import Place
from sppkit.capture.tensors.readable import Readable, join_flags

_COUNTED = re.compile(r"first \d+ of \d+ samples")
OF_EACH_PROCESS = "first samples of each process"


class Sampling(NamedTuple):
    """How much of an activation or a gradient is read.

    Attributes:
        most: elements; as many whole samples are read as fit into them, and one at least.
        spares_output: read the network's own output whole, since the samples of its gradient say
            which share of the loss belongs to a process.
    """

    most: int
    spares_output: bool = False

    def samples(self, place: Place, found: Readable, batch: int) -> int | None:
        """Give the number of samples to read of a tensor; None where all of it is read.

        Cut are tensors whose first axis is as long as the batch, and is not that of the channels.
        """
        values, axis = found.values, found.axis
        if values.numel() <= self.most or axis is None or axis % values.dim() == 0:
            return None
        if values.shape[0] != batch or not found.may_be_padded:
            return None
        if self.spares_output and not (place.layer or place.operation):
            return None
        fitting = max(1, self.most * batch // values.numel())
        return fitting if fitting < batch else None


def cut(found: Readable, samples: int) -> Readable:
    """Keep the first samples of what is read."""
    flag = f"first {samples} of {found.values.shape[0]} samples"
    values = found.values.narrow(0, 0, samples)
    return found._replace(values=values, flags=join_flags(found.flags, flag))


def is_cut(flags: str) -> bool:
    """Say by its flags whether a row is of the first samples only."""
    return _COUNTED.search(flags) is not None


def of_each_process(flags: str) -> str:
    """Leave out how many samples there were: batches differ between processes.

    >>> of_each_process("unmasked; first 4 of 64 samples; first 4 of 60 samples")
    'unmasked; first samples of each process'
    """
    return join_flags(_COUNTED.sub(OF_EACH_PROCESS, flags)) if flags else flags
