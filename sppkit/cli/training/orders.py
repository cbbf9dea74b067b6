"""What another process must be told to train one run of a plan, and what it answers.

Networks of users cannot be sent to another process, flags can: each process makes the plan again
and trains its part of it.
"""

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from sppkit.cli.commands import describe
from sppkit.cli.training.flags import Feeding, Keeping, Learning, Running
from sppkit.cli.training.tasks import PlannedRun, plan_runs
from sppkit.training.loop import train
from sppkit.training.outcome import Hear, Outcome, Progress
from sppkit.training.parallel import ALONE, Parallel


@dataclass(frozen=True)
class Failure:
    """Why a run has no outcome.

    Attributes:
        message: a sentence for people.
        details: the traceback, "" where there is none.
    """

    message: str
    details: str = ""


Result = Outcome | Failure
Begin = Callable[[str], Callable[[Progress], None]]
"""Is told the name of a run that begins, and gives what is told its progress."""


@dataclass(frozen=True)
class Order:
    """The flags of a command, for a process that is to train runs of it.

    Attributes:
        targets, learning, feeding, running, keeping: as they were typed.
        directory: in which they were typed.
        threads: of torch's operations on the CPU, in each process: those of this one, shared out.
    """

    targets: tuple[str, ...]
    learning: Learning
    feeding: Feeding
    running: Running
    keeping: Keeping
    directory: str = field(default_factory=os.getcwd)
    threads: int = field(init=False)

    def __post_init__(self) -> None:
        at_a_time = self.running.jobs or torch.get_num_threads()
        object.__setattr__(self, "threads", max(1, torch.get_num_threads() // at_a_time))

    def carry_out(self, index: int, hear: Hear) -> Result:
        """Train the run of that number; whatever goes wrong is told."""
        try:
            os.chdir(self.directory)
            torch.set_num_threads(self.threads)
            run = self.plan()[index]
            if self.keeping.force:
                run.folder.clear()  # what was there is deleted; what others put there may stay
            return train(run.task, run.folder, resume=self.keeping.resume, hear=hear)
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            return Failure(describe(error), traceback.format_exc())

    def plan(self, parallel: Parallel = ALONE) -> list[PlannedRun]:
        """Plan all runs."""
        flags = (self.learning, self.feeding, self.running, self.keeping)
        return plan_runs(self.targets, *flags, parallel)
