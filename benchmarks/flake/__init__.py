"""How often two checks of the same network disagree because their seeds differ.

Seeds of a network are recorded once; then the whole decision, more seeds near a threshold included,
is made again and again from other draws of them. `python -m benchmarks.flake` does it for the small
reference networks and for plain ones, `--full-size --seeds 20` for five large ones. It writes
results.json or results_full_size.json; recordings are kept, and made only once.
"""
