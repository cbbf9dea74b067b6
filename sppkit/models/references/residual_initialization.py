"""Residual networks that train without normalisation by how they start: SkipInit and Fixup."""

from sppkit.models.references.reference import Reference

RESIDUAL_INITIALIZATION: tuple[Reference, ...] = ()
