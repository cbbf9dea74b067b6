"""The version of sppkit: written here, read by everything else."""

__version__ = "0.1.0"
