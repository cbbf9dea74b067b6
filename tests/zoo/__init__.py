"""The zoo: architectures of timm, torchvision and transformers, each trained plain and recorded.

`networks` builds them small and at random, `comparison` trains each twice and compares, `worker`
does that in a process of its own under a time limit, `report` writes what was found. Run it with
`python -m tests.zoo`.
"""
