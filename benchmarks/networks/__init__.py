"""The networks of the workloads, as their authors wrote them, in place where they work in place.

Each takes `in_place`: False builds the same network without in-place operations, for collectors
that cannot live with them.
"""
