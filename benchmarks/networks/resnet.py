"""ResNets in the style of torchvision: in-place ReLU, in-place addition of the identity.

Paper: Deep residual learning for image recognition, He, Zhang, Ren, Sun, 2015, arXiv 1512.03385.
"""

from collections.abc import Sequence

from torch import Tensor, nn


def _convolution(in_channels: int, channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    padding = kernel_size // 2
    return nn.Conv2d(in_channels, channels, kernel_size, stride, padding, bias=False)


class _Block(nn.Module):
    """The merge of a block: y = relu(f(x) + x), in place where asked for."""

    expansion: int

    def __init__(self, in_channels: int, channels: int, stride: int, *, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.relu = nn.ReLU(inplace=in_place)
        self.downsample: nn.Sequential | None = None
        outputs = channels * self.expansion
        if stride != 1 or in_channels != outputs:
            projection = _convolution(in_channels, outputs, 1, stride)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def branch(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        out = self.branch(x)
        identity = x if self.downsample is None else self.downsample(x)
        if self.in_place:
            out += identity
        else:
            out = out + identity
        result: Tensor = self.relu(out)
        return result


class BasicBlock(_Block):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, *, in_place: bool) -> None:
        super().__init__(in_channels, channels, stride, in_place=in_place)
        self.conv1 = _convolution(in_channels, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)

    def branch(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        out = self.relu(self.bn1(self.conv1(x)))
        result: Tensor = self.bn2(self.conv2(out))
        return result


class Bottleneck(_Block):
    """1x1, 3x3 and 1x1 convolutions; the stride is in the 3x3."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, *, in_place: bool) -> None:
        super().__init__(in_channels, channels, stride, in_place=in_place)
        self.conv1 = _convolution(in_channels, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _convolution(channels, channels * self.expansion, 1)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)

    def branch(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        result: Tensor = self.bn3(self.conv3(out))
        return result


def _stem(width: int, *, small_images: bool, in_place: bool) -> nn.Sequential:
    if small_images:
        return nn.Sequential(_convolution(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(in_place))
    return nn.Sequential(
        _convolution(3, width, 7, 2),
        nn.BatchNorm2d(width),
        nn.ReLU(in_place),
        nn.MaxPool2d(3, 2, 1),
    )


def _resnet(
    block: type[_Block],
    blocks: Sequence[int],
    *,
    width: int,
    classes: int,
    small_images: bool,
    in_place: bool,
) -> nn.Module:
    layers: list[nn.Module] = []
    channels = width
    for stage, count in enumerate(blocks):
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            layers.append(block(channels, width * 2**stage, stride, in_place=in_place))
            channels = width * 2**stage * block.expansion
    model = nn.Sequential(
        _stem(width, small_images=small_images, in_place=in_place),
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, classes),
    )
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return model


def resnet18(
    *,
    blocks: Sequence[int] = (2, 2, 2, 2),
    width: int = 64,
    classes: int = 10,
    in_place: bool = True,
) -> nn.Module:
    """Build ResNet-18 for small images: a 3x3 stem, no pooling; (N, 3, H, W) to (N, classes)."""
    return _resnet(
        BasicBlock, blocks, width=width, classes=classes, small_images=True, in_place=in_place
    )


def resnet50(
    *,
    blocks: Sequence[int] = (3, 4, 6, 3),
    width: int = 64,
    classes: int = 1000,
    in_place: bool = True,
) -> nn.Module:
    """Build ResNet-50; (N, 3, H, W) to (N, classes)."""
    return _resnet(
        Bottleneck, blocks, width=width, classes=classes, small_images=False, in_place=in_place
    )
