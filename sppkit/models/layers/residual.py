"""A residual block of anything, with a branch that has a name."""

from torch import Tensor, nn


class Residual(nn.Module):
    """Add a branch to a skip path, y = skip(x) + scale * end(branch(x)).

    Its `branch` is what signal propagation plots call the residual branch: whatever `end` does (a
    gain, a drop) comes after the point where its variance is read.

    Args:
        branch: f.
        skip: the skip path; None is the identity.
        end: what follows the branch, such as `ResidualGain()`, `LayerScale(...)` or
            `StochasticDepth(0.1)`, in order of application.
        scale: a constant; alpha of normalizer-free networks.

    Examples:
        >>> from sppkit.models.layers import ResidualGain, StochasticDepth
        >>> block = Residual(nn.Linear(4, 4), end=(ResidualGain(), StochasticDepth(0.1)))
    """

    def __init__(
        self,
        branch: nn.Module,
        *,
        skip: nn.Module | None = None,
        end: tuple[nn.Module, ...] = (),
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.branch = branch
        self.skip = skip
        self.end = nn.Sequential(*end)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum; branch and skip path leave equal shapes."""
        residual = self.end(self.branch(x))
        output: Tensor = (x if self.skip is None else self.skip(x)) + self.scale * residual
        return output

    def extra_repr(self) -> str:
        """Show the constant in the printed model."""
        return f"scale={self.scale:.6g}" if self.scale != 1.0 else ""
