"""The gate."""

from sppkit.gate.evidence import record_evidence

__all__ = ["record_evidence"]
