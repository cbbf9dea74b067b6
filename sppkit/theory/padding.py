"""What zero padding takes from the signal."""


def padding_factor(height: int, width: int, *, kernel_size: int = 3) -> float:
    """Compute the share of variance that zero padding leaves in a convolution's output.

    The share of kernel taps that fall on the map, averaged over output positions; for a kernel of
    3 it is (1 - 2/(3H))(1 - 2/(3W)). Holds for stride 1, padding (kernel_size - 1)/2 and an input
    that is white over positions.

    Args:
        height: height of the map, H.
        width: width of the map, W.
        kernel_size: an odd number.

    Examples:
        >>> round(padding_factor(7, 7), 3)
        0.819
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is odd (padding keeps the size), got {kernel_size}")
    if height < 1 or width < 1:
        raise ValueError(f"height and width are 1 or more, got {height} and {width}")
    return _share_on_the_map(height, kernel_size) * _share_on_the_map(width, kernel_size)


def _share_on_the_map(size: int, kernel_size: int) -> float:
    reach = kernel_size // 2
    hits = sum(max(0, size - abs(offset)) for offset in range(-reach, reach + 1))
    return hits / (kernel_size * size)
