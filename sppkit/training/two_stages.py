"""Training a binary network in two stages: binary activations first, binary weights after.

Paper: "BNN - BN = ?", Chen et al., 2021, arXiv 2104.08215, section 4; the procedure is that of
Martinez et al., 2020, arXiv 2003.11535. Authors' code: VITA-Group/BNN_NoBN, train.py, --pretrained.

Where ours differs: the authors load with strict=False and print what was left over; ours says what
was not loaded, and refuses a checkpoint of another network.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Loaded:
    """What became of a first stage's state.

    Attributes:
        loaded: names that were copied.
        kept: names of the network that the state did not have; they are as they were.
        unused: names of the state that the network does not have.
    """

    loaded: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]


def load_first_stage(network: nn.Module, state: Mapping[str, Tensor] | nn.Module) -> Loaded:
    """Copy the parameters and buffers that two stages of a network share, in place.

    Args:
        network: the second stage, such as `reactnet18("bf", binary="all")`.
        state: the first stage, such as the same with binary="activations", or its state_dict;
            a leading "module." of DataParallel is dropped.

    Returns:
        What was copied, what was kept and what was left over.

    Raises:
        ValueError: nothing fits, or tensors of one name differ in shape; the message lists them.
    """
    given = state.state_dict() if isinstance(state, nn.Module) else state
    given = {name.removeprefix("module."): tensor for name, tensor in given.items()}
    own = network.state_dict()
    shared = [name for name in own if name in given]
    differing = [name for name in shared if own[name].shape != given[name].shape]
    if differing:
        first = differing[0]
        raise ValueError(
            f"the first stage is another network: {len(differing)} tensors differ in shape, "
            f"{first} among them: {tuple(given[first].shape)} there, {tuple(own[first].shape)} here"
        )
    if not shared:
        raise ValueError(
            f"the first stage shares no name with the network; it has "
            f"{', '.join(list(given)[:3]) or 'nothing'}, ..., expected {', '.join(list(own)[:3])}"
        )
    network.load_state_dict({name: given[name] for name in shared}, strict=False)
    return Loaded(
        tuple(shared),
        tuple(name for name in own if name not in given),
        tuple(name for name in given if name not in own),
    )
