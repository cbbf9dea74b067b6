"""Networks of binary weights and activations, with and without batch normalisation."""

from sppkit.models.references.reference import Reference

BINARY: tuple[Reference, ...] = ()
