"""The code that a person named: found, loaded, run, and its errors told in one line."""

from sppkit.user_code.arguments import check_arguments, describe_signature, missing_arguments
from sppkit.user_code.explain import describe_exception, did_you_mean
from sppkit.user_code.loading import UserCode, check_is_file, load, own_callables, split

__all__ = [
    "UserCode",
    "check_arguments",
    "check_is_file",
    "describe_exception",
    "describe_signature",
    "did_you_mean",
    "load",
    "missing_arguments",
    "own_callables",
    "split",
]
