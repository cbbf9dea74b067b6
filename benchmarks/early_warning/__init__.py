"""How many steps before a loss spikes the early warning comes, and how often it is wrong."""
