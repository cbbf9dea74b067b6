"""The variance that each block of a normalizer-free network is told to expect, beta squared.

Codes differ in what they credit the first block of a stage with. The division by beta is exact only
where the network grows as the policy says: `normalizer_free_ladder` has DeepMind's.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np

from sppkit.theory.nonlinearities import Array

ResetPolicy = Literal["deepmind", "uncredited", "never"]


def entering_variances(
    depths: Sequence[int], *, alpha: float = 0.2, reset: ResetPolicy = "deepmind"
) -> Array:
    """Compute beta² of every block, x + alpha f(x / beta), by one of three policies.

    - "deepmind": the first block of a stage sets the variance to 1 and adds alpha²;
    - "uncredited": it sets the variance to 1 and adds nothing (DeepMind's NF-RegNet as ported by
      Dewyse, 2025; ReActNet-18 of Chen et al., 2021, arXiv 2104.08215), which tells later blocks
      alpha² too little;
    - "never": every block adds alpha², transitions too (the UN variant of Dewyse, 2025), although a
      transition without a skip path has lost what came before.

    Args:
        depths: blocks per stage, such as (3, 4, 6, 3).
        alpha: scale of the residual branch.
        reset: the policy.

    Returns:
        One value per block, (sum of depths,); the first is 1.

    Raises:
        ValueError: no stage, a depth below 1, or an unknown policy.

    References:
        Brock, De, Smith, 2021, arXiv 2101.08692, section 4.1.

    Examples:
        >>> entering_variances((2, 2)), entering_variances((2, 2), reset="uncredited")
        (array([1.  , 1.04, 1.08, 1.04]), array([1.  , 1.  , 1.04, 1.  ]))
        >>> entering_variances((2, 2), reset="never")
        array([1.  , 1.04, 1.08, 1.12])
    """
    if not depths or any(depth < 1 for depth in depths):
        raise ValueError(f"depths are blocks per stage, each 1 or more; got {list(depths)}")
    if reset not in _BLOCKS_CREDITED:
        raise ValueError(f"reset is one of {', '.join(_BLOCKS_CREDITED)}; got {reset!r}")
    return 1.0 + alpha**2 * _BLOCKS_CREDITED[reset](depths)[:-1]


def _since_the_stage_began(depths: Sequence[int], first: int) -> Array:
    """Count, before each block and after the last, the blocks that are credited."""
    leaving = [np.arange(first, first + depth, dtype=np.float64) for depth in depths]
    return np.concatenate([[0.0], *leaving])


def _since_the_beginning(depths: Sequence[int]) -> Array:
    return np.arange(sum(depths) + 1, dtype=np.float64)


_BLOCKS_CREDITED: dict[str, Callable[[Sequence[int]], Array]] = {
    "deepmind": partial(_since_the_stage_began, first=1),
    "uncredited": partial(_since_the_stage_began, first=0),
    "never": _since_the_beginning,
}
