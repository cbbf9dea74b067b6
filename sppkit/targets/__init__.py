"""What a person types to name a model, and the function that builds it."""

from sppkit.targets.target import Target, declared_input_size, parse_arguments, resolve
from sppkit.user_code import describe_exception

__all__ = ["Target", "declared_input_size", "describe_exception", "parse_arguments", "resolve"]
