"""Bring the weights of timm's and torchvision's networks into ours, layer by layer."""

import re

import torch
from torch import nn

# (their layer, ours); a block's prefix stays apart
_OF_TIMM = (
    (r"^stages\.(\d+)\.(\d+)\.downsample\.conv\b", r"stages.\1.\2.shortcut.conv"),
    (r"^stages\.(\d+)\.(\d+)\.conv2b\b", r"stages.\1.\2.branch.conv3"),
    (r"^stages\.(\d+)\.(\d+)\.conv(\d)\b", r"stages.\1.\2.branch.conv\3"),
    (r"^stages\.(\d+)\.(\d+)\.attn(?:_last)?\.fc1\b", r"stages.\1.\2.branch.squeeze_excite.reduce"),
    (r"^stages\.(\d+)\.(\d+)\.attn(?:_last)?\.fc2\b", r"stages.\1.\2.branch.squeeze_excite.expand"),
    (r"^final_conv\b", "head.conv"),
    (r"^head\.fc\b", "head.classifier"),
)
_OF_TORCHVISION = (
    (r"^conv1\b", "stem.conv"),
    (r"^bn1\b", "stem.activation.norm"),
    (r"^layer(\d)\.(\d+)\.bn3\b", r"stages.\1.\2.branch.norm"),
    (r"^layer(\d)\.(\d+)\.downsample\.0\b", r"stages.\1.\2.shortcut.conv"),
    (r"^layer(\d)\.(\d+)\.downsample\.1\b", r"stages.\1.\2.shortcut.norm"),
    (r"^layer(\d)\.(\d+)\.conv(\d)\b", r"stages.\1.\2.branch.conv\3"),
    (r"^fc\b", "head.classifier"),
)


def load_from_timm(ours: nn.Module, theirs: nn.Module) -> None:
    """Load the weights of a NormFreeNet; four convolutions of an NFNet's branch are counted on."""
    names = {key: _renamed(key, _OF_TIMM) for key in theirs.state_dict()}
    if any("conv2b" in key for key in names):
        last = re.compile(r"^(stages\.\d+\.\d+)\.conv3\b")
        names |= {k: last.sub(r"\1.branch.conv4", k) for k in names if last.match(k)}
    stem = re.compile(r"^stem\.conv\b")  # of NF-RegNets, in a chain of one here
    if not any(name.startswith("stem.conv.") for name in ours.state_dict()):
        names |= {k: stem.sub("stem.conv1", k) for k in names if stem.match(k)}
    _load(ours, theirs, names)


def load_from_torchvision(ours: nn.Module, theirs: nn.Module) -> None:
    """Load the weights of a ResNet with bottlenecks."""
    names = {}
    for key in theirs.state_dict():
        norm = re.match(r"^layer(\d)\.(\d+)\.bn([12])\.(.*)", key)
        name = (
            f"stages.{norm[1]}.{norm[2]}.branch.activation{int(norm[3]) + 1}.norm.{norm[4]}"
            if norm
            else _renamed(key, _OF_TORCHVISION)
        )
        names[key] = re.sub(r"^stages\.(\d)", lambda found: f"stages.{int(found[1]) - 1}", name)
    _load(ours, theirs, names)


def _renamed(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        if re.match(pattern, key):
            return re.sub(pattern, replacement, key)
    return key


def _load(ours: nn.Module, theirs: nn.Module, names: dict[str, str]) -> None:
    """Load all of them; a convolution that stands for a linear layer has the same numbers."""
    shapes = {key: tensor.shape for key, tensor in ours.state_dict().items()}
    state = {}
    for key, tensor in theirs.state_dict().items():
        name = names[key]
        if name not in shapes:  # a skip path that is no chain here
            name = name.replace("shortcut.conv", "shortcut")
        state[name] = tensor.reshape(shapes[name])
    ours.load_state_dict(state)


def randomize(model: nn.Module) -> nn.Module:
    """Move all parameters and statistics away from their initial values, none to 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and not name.endswith("weight"):
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(0.5 + noise if "gain" in name or "var" in name else noise / 10)
    return model
