"""Notice that modules were added, removed or replaced, within microseconds per pass."""

from torch import nn


class ModuleTree:
    """The modules of a model at one moment.

    Attributes:
        named: all of them, with their names.
    """

    def __init__(self, model: nn.Module) -> None:
        self.named = list(model.named_modules())
        self._leaves = [module for _, module in self.named if not module._modules]
        self._parents = [
            (module, tuple(module._modules.items())) for _, module in self.named if module._modules
        ]

    def is_current(self) -> bool:
        """Say whether the model still has these modules, under these names."""
        return not any(leaf._modules for leaf in self._leaves) and all(
            tuple(parent._modules.items()) == parts for parent, parts in self._parents
        )
