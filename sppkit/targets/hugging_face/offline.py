"""No request of Hugging Face's libraries leaves this machine while sppkit builds a network."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def offline() -> Iterator[None]:
    """Do as HF_HUB_OFFLINE=1 would, and put things back as they were.

    The variable itself is read once, when the library is imported; this is what it sets.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
