"""Early warning: what the recording of a training says before the loss does.

    warning = sppkit.EarlyWarning(recording)

`watch` asks every rule of the `catalogue` about the rows of each recorded step: `courses` compare a
tensor with its own `history`, `steps` look at steps of the optimiser beside the weights, `outputs`
at units and logits, `numbers` at the ends of types. `series` number the rows, a `moment` is what
rules look at, an `event` what they say; `rates` reads learning rates off the optimiser.
"""

from sppkit.early_warning.catalogue import WARNING_RULES
from sppkit.early_warning.early_warning import STOPS, EarlyWarning, StopOn
from sppkit.early_warning.event import Event

__all__ = ["STOPS", "WARNING_RULES", "EarlyWarning", "Event", "StopOn"]
