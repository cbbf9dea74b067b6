"""Capture: watch a model run, plan what to record, write it to slots, turn it into rows.

`watch` follows module and function calls; `graph` and `merges` find out what the network is from
one traced pass; `blocks` names its places; `plan` lays out the slots; `writer` fills them from
hooks; `session` runs these step by step; `recorder` is the context manager around a session.
"""
