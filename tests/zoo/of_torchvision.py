"""Networks of torchvision: classification, segmentation, detection, video, optical flow."""

from collections.abc import Iterator
from typing import Any

import torch

from tests.zoo.networks import Batch, Network, image_batches, tensor_batch
from tests.zoo.torchvision_shim import import_torchvision

_CHOSEN = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s"),
    *("googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2"),
    *("mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50"),
    *("resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t"),
    *("vgg11_bn", "vit_b_16", "wide_resnet50_2"),
    *("deeplabv3_mobilenet_v3_large", "fcn_resnet50", "lraspp_mobilenet_v3_large"),
    *("fcos_resnet50_fpn", "retinanet_resnet50_fpn", "ssdlite320_mobilenet_v3_large"),
    *("mc3_18", "r3d_18", "s3d", "swin3d_t", "raft_small"),
)
_SIDES = (64, 96, 128, 224, 299)
_WEIGHTS = ("weights", "weights_backbone")


def chosen() -> Iterator[str]:
    """Name the chosen networks: one of each family."""
    yield from _CHOSEN


def every_name() -> list[str]:
    """Name all networks."""
    import_torchvision()
    from torchvision.models import list_models

    return list(list_models())


def find(name: str) -> Network:
    """Find a network by name."""
    import_torchvision()
    from torchvision.models import get_model, get_model_builder

    task = get_model_builder(name).__module__.split(".")[2]
    arguments: dict[str, Any] = {"weights": None}
    if task in ("detection", "segmentation"):
        arguments["weights_backbone"] = None
    if task == "detection" and not name.startswith("ssd"):
        arguments |= {"min_size": 128, "max_size": 128}  # else pictures are enlarged to 800
    return Network("torchvision", name, lambda: get_model(name, **arguments), _batches(name, task))


def _batches(name: str, task: str) -> tuple[Batch, ...]:
    if task == "detection":
        return (Batch("2x3x128x128 and boxes", _pictures_with_boxes),)
    if task == "video":
        return (tensor_batch((2, 3, 8, 64, 64)), tensor_batch((2, 3, 16, 224, 224)))
    if task == "optical_flow":
        return (tensor_batch((1, 3, 128, 128), (1, 3, 128, 128)),)
    return image_batches(3, _SIDES)


def _pictures_with_boxes() -> tuple[tuple[Any, ...], dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.rand(3, 128, 128, generator=generator) for _ in range(2)]
    boxes = torch.tensor([[8.0, 8.0, 60.0, 70.0], [30.0, 20.0, 100.0, 90.0]])
    targets = [{"boxes": boxes.clone(), "labels": torch.tensor([1, 2])} for _ in pictures]
    return (pictures, targets), {}
