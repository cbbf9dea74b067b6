"""Papers whose networks stand in more than one table."""

SELF_NORMALIZING = (
    "Self-Normalizing Neural Networks, Klambauer, Unterthiner, Mayr, Hochreiter, 2017, "
    "arXiv 1706.02515"
)
THESIS = "Designing Normalizer-Free EfficientNets, Dewyse, 2025, JKU Linz"
