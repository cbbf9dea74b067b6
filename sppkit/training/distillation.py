"""Learning from another network's outputs.

Papers: Distilling the knowledge in a neural network, Hinton, Vinyals, Dean, 2015, arXiv 1503.02531;
"BNN - BN = ?", Chen et al., 2021, arXiv 2104.08215, whose binary networks learn from an NFNet-F0
and from nothing else. Authors' code of the latter: VITA-Group/BNN_NoBN, utils.py, DistributionLoss.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def distillation_loss(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Compute the cross-entropy between the distributions of a teacher and of a student.

        T² mean_n( - sum_c softmax(teacher / T)[n, c] log softmax(student / T)[n, c] )

    At T = 1 it is the loss of "BNN - BN = ?". It is not 0 where both agree, but the entropy of the
    teacher. T² keeps the size of the gradient (Hinton et al., section 2). No gradient reaches the
    teacher.

    Args:
        student: logits, (N, C).
        teacher: logits of the same shape.
        temperature: T, positive.

    Returns:
        The mean over samples, a scalar.

    Raises:
        ValueError: shapes differ or are not (N, C), or the temperature is not positive.

    Examples:
        >>> logits = torch.zeros(2, 4)
        >>> round(distillation_loss(logits, logits).item(), 4)  # log 4
        1.3863
    """
    if student.shape != teacher.shape or student.dim() != 2:
        raise ValueError(
            f"student and teacher are logits of one shape, (N, classes); got "
            f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        )
    if not temperature > 0.0:
        raise ValueError(f"the temperature is positive; got {temperature}")
    targets = functional.softmax(teacher.detach() / temperature, dim=1)
    return temperature**2 * functional.cross_entropy(student / temperature, targets)


class DistillationLoss(nn.Module):
    """Run a frozen teacher on the inputs and compare: `distillation_loss(student, teacher(x))`.

    The teacher is put into evaluation mode and stays there, whatever `train()` is called on.

    Args:
        teacher: a classifier, from the student's inputs to logits of the same classes. Its
            parameters are frozen.
        temperature: see `distillation_loss`.
    """

    def __init__(self, teacher: nn.Module, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.teacher = teacher.requires_grad_(False).eval()
        self.temperature = temperature

    def train(self, mode: bool = True) -> "DistillationLoss":
        """Set the mode; the teacher stays in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, student: Tensor, x: Tensor) -> Tensor:
        """Compare the student's logits, (N, C), with the teacher's on the inputs x."""
        with torch.no_grad():
            targets: Tensor = self.teacher(x)
        return distillation_loss(student, targets, temperature=self.temperature)
