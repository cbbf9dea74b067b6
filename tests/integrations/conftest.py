import sys

import pytest


@pytest.fixture(autouse=True)
def nothing_compiled():
    """Forget what another test has compiled: recording would do so, and warn."""
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()


@pytest.fixture(autouse=True)
def no_service_of_wandb():
    """End the service of Weights & Biases, which keeps the folder of the first run."""
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
