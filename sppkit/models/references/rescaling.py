"""Networks whose residual sums are rescaled: RescaleNet and EUNNet."""

from sppkit.models.references.reference import Reference

RESCALING: tuple[Reference, ...] = ()
