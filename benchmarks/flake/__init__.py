"""How often two checks of the same network disagree because their seeds differ.

Seeds of a network are recorded once; then the whole decision, more seeds near a threshold included,
is made again and again from other draws of them. `python -m benchmarks.flake` does it for the small
reference networks and writes results.json.
"""
