"""Capture: watch a model run, plan what to record, write it to slots, turn it into rows.

`record` makes a `recorder`, which takes the steps of a run one by one; `circumstances` says what a
run was measured with, `descriptions` what it was of, `gains` which residual branches are silent.
The rooms, each of which imports only those above it:

=========  =========================================================================
calls      what runs: the calls of modules and functions, and names for their tensors
tensors    how a tensor is to be read: its channel axis, values, masks, shards
tracing    what the network is: which tensor came from which, residual branches
planning   what is recorded, and where each reading is written
writing    what a pass does: tensors are reduced to their slots
readings   from the values of a step to the rows of the table
steps      what is recorded in which step
compiled   the same for compiled models
processes  many processes are recorded as one
=========  =========================================================================
"""
