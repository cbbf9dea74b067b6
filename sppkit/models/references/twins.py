"""What makes residual networks of several families twins: the same sizes, for small images."""

RESNET20 = {"variant": "20", "classes": 10, "width": 16}
"""Three stages of three pairs of 3x3, for 32x32."""

RESNET_DIGITS = {"variant": "digits", "classes": 10, "in_channels": 1, "width": 16}
"""Two stages of two pairs of 3x3, for 8x8."""
