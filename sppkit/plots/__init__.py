"""Figures: a recording in, a matplotlib Figure out.

`frames` selects and aggregates what a figure shows. `style` is the visual language; a `canvas`
holds `panels` of `marks`, `headings` are the words around them, `circumstances` what footers say;
`files` writes figures. Every other file draws one kind of figure. Nothing is shown, saved or
restyled globally.
"""

from sppkit.plots.animation import Animation, animate
from sppkit.plots.comparison import plot_comparison
from sppkit.plots.distribution import plot_distribution_over_training
from sppkit.plots.gradient_flow import plot_gradient_flow
from sppkit.plots.over_training import plot_over_training
from sppkit.plots.signal_propagation import plot_signal_propagation
from sppkit.plots.weights import plot_weights

__all__ = [
    "Animation",
    "animate",
    "plot_comparison",
    "plot_distribution_over_training",
    "plot_gradient_flow",
    "plot_over_training",
    "plot_signal_propagation",
    "plot_weights",
]
