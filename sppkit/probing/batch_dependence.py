"""Whether a network's answer about one sample depends on the other samples of the batch."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def batch_dependence(model: nn.Module, x: Tensor) -> float:
    """Compare the outputs for the first sample, alone and in its batch.

        max |f(x)[0] - f(x[:1])[0]| / rms(f(x)[0])

    0 up to rounding (about 1e-6) for networks that treat samples independently. In training mode
    batch normalisation makes it large; networks that standardise the whole input of a layer
    (`sppkit.models.layers.EUNConv2d`) depend on the batch in evaluation mode too, where that means
    that predictions depend on what else is asked.

    The network is run in the mode it is in; buffers that it changes are restored, and so is torch's
    generator, from which both runs draw the same numbers (dropout draws fewer for one sample: put
    it into evaluation mode).

    Args:
        model: from (N, ...) to one tensor, (N, ...).
        x: two samples or more, (N, ...).

    Returns:
        The largest difference, relative to the root mean square of the output.

    Raises:
        ValueError: fewer than two samples.
        TypeError: the model does not return one tensor.
    """
    if len(x) < 2:
        raise ValueError(f"batch dependence needs two samples or more; got {len(x)}")
    together, alone = _run(model, x)[:1], _run(model, x[:1])
    scale = together.square().mean().sqrt().clamp(min=torch.finfo(together.dtype).tiny)
    return float((together - alone).abs().max() / scale)


def _run(model: nn.Module, x: Tensor) -> Tensor:
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    state = torch.get_rng_state()
    try:
        output = model(x)
    finally:
        torch.set_rng_state(state)
        for buffer, before in buffers:
            buffer.copy_(before)
    if not isinstance(output, Tensor):
        raise TypeError(
            f"batch_dependence compares one tensor; {type(model).__name__} returned "
            f"{type(output).__name__}"
        )
    return output.double()
