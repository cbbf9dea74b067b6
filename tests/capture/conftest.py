import pytest
import torch


@pytest.fixture
def nothing_compiled():
    """Forget what another test has compiled, and then what this one has."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
