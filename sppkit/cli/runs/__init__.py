"""Runs that `sppkit train` has left: `recordings`, a `summary`, a `report`, `cells` of tables."""
