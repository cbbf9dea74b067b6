"""How a tensor is to be read: which values of it, over which axis, and what of it is here.

`channel_axis` says which axis counts channels. `readable` brings tensors of any kind to values,
`masks` leaves out padding, `sampling` takes the first samples; `sharding` knows what of a parameter
is on this process.
"""
