"""What runs just now, where it is no plain forward computation: a repetition, a trace, a vmap."""

import torch


def is_recomputation() -> bool:
    """Say whether a backward pass is running: a forward inside it repeats a checkpointed one."""
    return torch._C._current_graph_task_id() != -1


_TRACING = (torch._C._TorchDispatchModeKey.FAKE, torch._C._TorchDispatchModeKey.PROXY)


def opaque_region() -> str | None:
    """Say why what runs here is no plain computation whose tensors could be read."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return "called inside torch.func (vmap, grad, ...): its tensors stand for others"
    if torch._C._is_tracing():
        return "called by torch.jit.trace, which would take the reading for a part of the model"
    if any(torch._C._get_dispatch_mode(mode) is not None for mode in _TRACING):
        return "called by a tracer (torch.export, make_fx, fake tensors), not run on values"
    return None
