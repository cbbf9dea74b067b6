import sys

import pytest


@pytest.fixture(autouse=True)
def nothing_compiled():
    """Forget what another test has compiled: recording would do so, and warn."""
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()
