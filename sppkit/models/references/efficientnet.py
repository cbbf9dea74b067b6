"""EfficientNet-B0 with its normalisation and with what was tried in its place."""

from sppkit.models.references.reference import Reference

EFFICIENTNET: tuple[Reference, ...] = ()
