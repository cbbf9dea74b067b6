import math

import numpy as np
import pytest
import torch
from sppkit.kernels import summarize, summarize_into, torch_operations, unsupported_reason
from sppkit.kernels.sweeps import Sweeps
from sppkit.summary import ChannelSummary, packed_size
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.oracle import errors, expected
