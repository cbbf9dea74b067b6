"""What stands against batch normalisation, arm by arm, in one grid.

The factors are those of Gaur, Folz, Dengel, 2020, arXiv 2008.07970: weight normalisation, gradient
clipping, dropout. Networks, data and settings are ours, and small: the grid shows how the factors
are switched and recorded side by side, not which of them is best on pictures of a million pixels.
"""
