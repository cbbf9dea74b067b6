"""Read figures back as data."""

import numpy as np


def lines(axes, name):
    """Give the (x, y) of all lines with a label."""
    found = [line for line in axes.lines if line.get_label() == name]
    return [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in found]


def line(axes, name):
    """Give the (x, y) of the one line with a label."""
    (found,) = lines(axes, name)
    return found


def texts(axes, label=None):
    """Give what is written in a panel."""
    return [t.get_text() for t in axes.texts if label is None or t.get_label() == label]


def title(axes):
    return axes.get_title(loc="left")


def bands(axes, name):
    """Give the (x, low, high) of the bands with a label, by x."""
    found = []
    for band in axes.collections:
        if band.get_label() == name:
            vertices = band.get_paths()[0].vertices
            x = np.unique(vertices[:, 0])
            heights = [vertices[vertices[:, 0] == each, 1] for each in x]
            found.append((x, [h.min() for h in heights], [h.max() for h in heights]))
    return found
