"""The tables of the bundled networks, one file per group; none of them needs torch."""

from sppkit.models.references.reference import Reference

__all__ = ["Reference"]
