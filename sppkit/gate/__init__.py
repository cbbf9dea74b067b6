"""The gate: does this architecture propagate signals well enough to be trained?

`check` records the `evidence` (the curves under a unit gradient, the gradients under a
`training_loss` on the trained `outputs`, with zero `heads` woken, and `rehearsals` of training),
asks the rules, draws more `seeds` where the verdict is not clear, and `try_fix` measures the
`fixes` that findings name on copies.
"""

from sppkit.gate.evidence import record_evidence
from sppkit.gate.examination import Examination, check, examine

__all__ = ["Examination", "check", "examine", "record_evidence"]
