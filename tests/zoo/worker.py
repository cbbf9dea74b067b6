"""A process that compares one network after the other, and is replaced when one takes too long."""

import multiprocessing
import traceback
import warnings
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection

from tests.zoo.comparison import Outcome, compare
from tests.zoo.networks import TooLargeError, find

Name = tuple[str, str]  # library, architecture
_STARTUP = 60.0  # seconds to import the libraries


def compare_all(names: Iterable[Name], seconds: float) -> Iterator[Outcome]:
    """Compare networks in a process of their own, each within a limit of time."""
    worker = _Worker()
    try:
        for name in names:
            outcome = worker.compare(name, seconds)
            if outcome is None:
                worker.stop()
                worker = _Worker()
                outcome = Outcome(*name, status="failed", remark=worker.last_words(seconds))
            yield outcome
    finally:
        worker.stop()


def compare_here(name: Name) -> Outcome:
    """Compare a network in this process; what it raises becomes the outcome."""
    try:
        return compare(find(*name))
    except TooLargeError as error:
        return Outcome(*name, status="skipped", remark=str(error))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__} in {where.name}: {error}"
        return Outcome(*name, status="failed", remark=" ".join(said.split())[:300])


class _Worker:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        if not self._connection.poll(_STARTUP):
            raise RuntimeError(f"the worker did not start within {_STARTUP:.0f} s")
        self._connection.recv()

    def compare(self, name: Name, seconds: float) -> Outcome | None:
        """Compare a network; None where it took too long or took the process with it."""
        self._connection.send(name)
        if not self._connection.poll(seconds):
            return None
        try:
            outcome: Outcome = self._connection.recv()
        except EOFError:
            return None
        return outcome

    def last_words(self, seconds: float) -> str:
        """Say why there is no outcome."""
        return f"no outcome within {seconds:.0f} s, or the process died"

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(connection: Connection) -> None:
    warnings.simplefilter("ignore")  # the libraries' own
    connection.send("ready")
    while True:
        connection.send(compare_here(connection.recv()))
