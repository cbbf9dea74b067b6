"""What is recorded: the plan that one traced pass makes for the passes after it.

`options` are what was asked for. A `plan` gives each point a slot on a page of `sheets`;
`parameters` lists what belongs to layers, `structure` describes the layers themselves.
"""
