"""What rules are shown of a recording: which rows, which layers, which quantities."""

import pandas as pd

from sppkit.recording import Recording
from sppkit.rules.evidence import Evidence
from tests.rules.frames import chain, recording


def edited(network, edit):
    """Change the table of a recording."""
    table = network.table()
    return Recording.from_frames(edit(table), network.structure(), network.metadata)


def test_a_first_step_in_which_the_ranks_parted_is_judged_by_its_own_lowest_rank():
    parted = recording(chain(4)).table().assign(rank=0, step=0)
    merged = recording(chain(4)).table().assign(rank=-1, step=1)
    evidence = Evidence.of(edited(recording(chain(4)), lambda t: pd.concat([parted, merged])))
    assert evidence.observed
    assert (set(evidence.table["rank"]), set(evidence.table["step"])) == ({0}, {0})
