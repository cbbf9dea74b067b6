"""What labels are: classes, or numbers."""

from collections.abc import Sequence

from torch import Tensor

from sppkit.errors import DataError


def as_labels(labels: Tensor) -> Tensor:
    """Make classes of whole numbers, and float32 of others."""
    return labels.float() if labels.is_floating_point() else labels.long()


def count_classes(parts: Sequence[Tensor], name: str) -> int | None:
    """Count the classes from the labels; None where they are no classes.

    Raises:
        DataError: a class is negative.
    """
    if any(part.is_floating_point() or part.dim() != 1 for part in parts):
        return None
    least = min(int(part.min()) for part in parts)
    if least < 0:
        raise DataError(f"'{name}' has the class {least}; expected classes that count from 0.")
    return max(int(part.max()) for part in parts) + 1
