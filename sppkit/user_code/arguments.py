"""Whether a function can be called with given keywords, and how to say that it cannot."""

import inspect
from collections.abc import Callable, Iterable, Mapping

from sppkit.errors import TargetError
from sppkit.user_code.explain import did_you_mean


def missing_arguments(function: Callable[..., object], given: Iterable[str]) -> list[str]:
    """List the parameters that need a value and are not among the `given` names."""
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        parameter.name
        for parameter in _parameters(function) or ()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in optional
        and parameter.name not in given
    ]


def describe_signature(function: Callable[..., object]) -> str:
    """Return the parameters as one would type them, such as "width, depth=3"."""
    parameters = _parameters(function)
    return "..." if parameters is None else ", ".join(map(_describe_parameter, parameters))


def check_arguments(
    function: Callable[..., object], arguments: Mapping[str, object], subject: str
) -> None:
    """Raise a `TargetError` with the signature unless `function(**arguments)` can be called."""
    if missing := missing_arguments(function, arguments):
        hint = " ".join(f"-k {name}=VALUE" for name in missing)
        raise TargetError(
            f"{subject} needs arguments that were not given: {', '.join(missing)}. Its signature "
            f"is ({describe_signature(function)}). Give them with {hint}, or name a function "
            "without arguments that builds it."
        )
    accepted = _accepted_names(function)
    unknown = [] if accepted is None else [name for name in arguments if name not in accepted]
    if unknown:
        raise TargetError(
            f"{subject} takes no argument '{unknown[0]}'.{did_you_mean(unknown[0], accepted or ())}"
            f" It accepts: {', '.join(accepted or ()) or 'none'}."
        )


def _accepted_names(function: Callable[..., object]) -> list[str] | None:
    """List the accepted keywords; None if any keyword is accepted or nobody can tell."""
    parameters = _parameters(function)
    if parameters is None or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL]


def _describe_parameter(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is inspect.Parameter.empty:
        return str(parameter.replace(annotation=inspect.Parameter.empty))
    return f"{parameter.name}={getattr(default, '__name__', repr(default))}"


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some built-in callables have no signature to read
        return None
