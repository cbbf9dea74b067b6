"""What convolutions share that compute with another weight than the stored one."""

from torch import Tensor, nn


class EffectiveWeightConv2d(nn.Conv2d):
    """A convolution that computes with `effective_weight()`, which a subclass derives."""

    def effective_weight(self) -> Tensor:
        """Return the weight that the convolution uses, of the shape of `weight`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its weight is")

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x, (N, C, H, W), with the effective weight."""
        output: Tensor = self._conv_forward(x, self.effective_weight(), self.bias)
        return output
