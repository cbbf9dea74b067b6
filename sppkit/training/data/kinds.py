"""What data is: samples to train on and to evaluate on, and how they are wished for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sppkit.training.batches import Augmentation, Batches
from sppkit.training.data.augmentation import crop_and_flip
from sppkit.training.data.pictures import Pictures

FORMS = "digits, FILE.npz, module.py:function, folder:DIR, hf:NAME or hf:DIR"
AUGMENTATIONS: Mapping[str, Augmentation] = {"crop-flip": crop_and_flip}


@dataclass(frozen=True)
class Data:
    """Samples to train on and samples to evaluate on.

    Attributes:
        name: as it was typed.
        train, test: the samples.
        classes: how many there are; None where the labels are no classes.
        size: of one sample.
        description: what it is and what was done to it.
    """

    name: str
    train: Batches
    test: Batches
    classes: int | None
    size: tuple[int, ...]
    description: str


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How data is to be made.

    Attributes:
        size: of one sample, as the network takes it; None is the data's own.
        hold_out: share of the samples to evaluate on, where they have no part of their own for it
            or another one is wanted; None is a quarter where there is none.
        augmentation: a name of `AUGMENTATIONS`, or None.
        workers: processes that read samples.
    """

    size: tuple[int, ...] | None = None
    hold_out: float | None = None
    augmentation: str | None = None
    workers: int = 0
    augment: Augmentation | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.hold_out is not None and not 0.0 < self.hold_out < 1.0:
            raise ValueError(
                f"hold_out={self.hold_out} is no share of the samples; give one between 0 and 1, "
                "such as 0.2"
            )
        if self.augmentation is not None and self.augmentation not in AUGMENTATIONS:
            raise ValueError(
                f"augmentation {self.augmentation!r} is not known; there is: "
                f"{', '.join(AUGMENTATIONS)}"
            )
        if self.augmentation is not None:
            object.__setattr__(self, "augment", AUGMENTATIONS[self.augmentation])


@dataclass(frozen=True)
class Found:
    """Pictures that were found, not standardised yet, and what is known of them."""

    train: Pictures
    test: Pictures
    classes: int
    size: tuple[int, ...]
    description: str
