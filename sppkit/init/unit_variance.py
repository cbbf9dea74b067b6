"""LSUV: rescale layer after layer until its output has unit variance on a batch of data."""

from typing import Any

import torch
from torch import nn

from sppkit.init.branch_ends import variances_at_branch_ends
from sppkit.init.layers import set_weight, weight_of, weighted_layers
from sppkit.init.schemes import orthogonal_weight
from sppkit.init.sequential import LayerVariance, Rescaling, rescale_in_order, variance
from sppkit.init.trial import Run, as_run
from sppkit.patterns import Patterns


@torch.no_grad()
def layer_sequential_unit_variance(
    model: nn.Module,
    *args: Any,
    alpha: float = 1.0,
    tolerance: float = 0.1,
    maximum_iterations: int = 10,
    orthonormal: bool = True,
    layers: Patterns | None = None,
    run: Run | None = None,
) -> tuple[LayerVariance, ...]:
    """Initialise layers one after the other so that their outputs have unit variance, in place.

        while |Var(B_l) - 1| >= tolerance and fewer than maximum_iterations:
            W_l <- W_l / sqrt(Var(B_l))

    for each layer l in order of execution, B_l being its output on the batch (Mishkin, Matas, 2016,
    All you need is a good init, arXiv 1511.06422, algorithm 1; there Tol_var = 0.1, T_max = 10).
    All layers are done in one forward pass: each hands on what it computes with its new weights.
    Of a layer that is called several times the first call counts. Buffers are left as they were.

    The paper's targets are those of layers: where a residual branch of unit variance is added to a
    skip path, the sum has 1 more, and i + 1 after i such blocks. With `alpha` the layers that
    branches end with get the variance alpha², so that sums grow as those of a normalizer-free
    network, 1 + i alpha² (Brock, De, Smith, 2021, arXiv 2101.08692, section 4.1, where alpha is
    0.2). alpha = B^(-1/2), for the B blocks of a stage, holds them within 1 and 2 (Arpit, Campos,
    Bengio, 2019, How to initialize your network?, arXiv 1906.02341, for weight normalisation). The
    gradient that a branch hands to its inside and back to the sum is multiplied by alpha as well,
    so that the backward signal grows by no more per block than the forward signal; the last layer's
    own weights are smaller by alpha under gradients of the same size, and so learn faster relative
    to them.

    Args:
        model: any module; it runs in the mode that it is in.
        *args: positional arguments of its forward: a batch of data.
        alpha: standard deviation at the end of residual branches, as the sum adds it: a constant
            factor in front of the sum counts, a learned one (SkipInit, LayerScale) does not.
        tolerance: half the width of the band around 1, or around alpha² as a share of it.
        maximum_iterations: of one layer.
        orthonormal: draw orthonormal weights first, as the paper does (Saxe et al., 2014,
            arXiv 1312.6120), for each group of a convolution by itself; False rescales the weights
            that are there.
        layers: names or patterns; None takes all weighted layers.
        run: runs the forward of the model it is given, where `args` do not suffice.

    Returns:
        One entry per layer, in order of execution. A layer whose output is constant or not finite
        is left alone: its entry has no iterations, and `after` outside of the band. Layers that
        were never called are missing.

    Raises:
        ValueError: the tolerance or alpha is not positive, there is no iteration or nothing to run,
            a pattern matches no module, or alpha is not 1 and a residual branch ends with something
            else than a weighted layer, or there is none.
    """
    chosen, run = weighted_layers(model, layers), as_run(args, run)
    at_ends = variances_at_branch_ends(model, run, alpha)
    rescaling = Rescaling(
        *(variance, lambda name, *_: at_ends.get(name, 1.0), tolerance, maximum_iterations)
    )
    rescaling.check()
    if orthonormal:
        for module in chosen.values():
            shape, groups = weight_of(module).shape, getattr(module, "groups", 1)
            set_weight(module, orthogonal_weight(shape, groups).to(weight_of(module)))
    return rescale_in_order(model, chosen, run, rescaling)
