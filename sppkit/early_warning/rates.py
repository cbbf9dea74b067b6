"""The learning rates of parameters, by their names."""

from collections.abc import Mapping

from torch import nn, optim

from sppkit.early_warning.moment import Rate

_NORMALISED = (optim.Adam, optim.AdamW, optim.NAdam, optim.RAdam, optim.Adamax, optim.RMSprop)


class Rates:
    """Reads the learning rates of a model's parameters off its optimiser.

    Known are SGD and the Adam family; of others, and of rates that are tensors on a device, there
    are none.

    Args:
        model: whose parameters; None for none.
        optimizer: what steps them; None for none.
    """

    def __init__(self, model: nn.Module | None, optimizer: optim.Optimizer | None) -> None:
        is_known = isinstance(optimizer, (optim.SGD, *_NORMALISED))
        self._optimizer = optimizer if model is not None and is_known else None
        self._names = (
            {id(p): name for name, p in model.named_parameters()} if model is not None else {}
        )

    def now(self) -> Mapping[str, Rate]:
        """Give the rates of the next step."""
        if self._optimizer is None:
            return {}
        is_normalised = isinstance(self._optimizer, _NORMALISED)
        return {
            self._names[id(parameter)]: Rate(float(group["lr"]), is_normalised)
            for group in self._optimizer.param_groups
            if isinstance(group["lr"], int | float)
            for parameter in group["params"]
            if id(parameter) in self._names
        }
