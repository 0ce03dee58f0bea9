"""Inline constraints of route templates, such as `{n:int}` or `{v:regex(^v1$)}`, as ASP.NET Core has them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence

Check = Callable[[str], bool]


class ConstraintError(ValueError):
    """A constraint that the host cannot build; the text says why."""


def check_for(name: str, argument: str) -> Check:
    """The check that `{parameter:name(argument)}` asks for.

    Raises:
        ConstraintError: the host does not know it, or not with that argument.
    """
    builder = _CONSTRAINTS.get(name.lower())
    if builder is None:
        raise ConstraintError(f"constraint {name} is unknown")
    try:
        return builder(argument)
    except (ValueError, re.error, TypeError) as error:
        raise ConstraintError(f"constraint {name}({argument}): {error}") from error


def _regex(argument: str) -> Check:
    # The host searches (no anchors of its own) and ignores case.
    pattern = re.compile(argument, re.IGNORECASE)
    return lambda value: pattern.search(value) is not None


def _numbers(argument: str, count: Sequence[int]) -> list[int]:
    numbers = [int(piece) for piece in argument.split(",")]
    if len(numbers) not in count:
        raise ValueError("wrong number of arguments")
    return numbers


def _length(argument: str) -> Check:
    numbers = _numbers(argument, (1, 2))
    return lambda value: numbers[0] <= len(value) <= numbers[-1]


def _whole(value: str, bits: int) -> int | None:
    if not re.fullmatch(r"[+-]?[0-9]+", value):
        return None
    number = int(value)
    return number if -(1 << bits - 1) <= number < 1 << bits - 1 else None


def _between(low: int | None, high: int | None) -> Check:
    def check(value: str) -> bool:
        number = _whole(value, 64)
        return number is not None and (low is None or low <= number) and (high is None or number <= high)

    return check


def _range(argument: str) -> Check:
    low, high = _numbers(argument, (2,))
    return _between(low, high)


def _guid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return not value.lower().startswith("urn:")


_CONSTRAINTS: Mapping[str, Callable[[str], Check]] = {
    "regex": _regex,
    "int": lambda _: lambda value: _whole(value, 32) is not None,
    "long": lambda _: lambda value: _whole(value, 64) is not None,
    "bool": lambda _: lambda value: value.lower() in ("true", "false"),
    "guid": lambda _: _guid,
    "alpha": lambda _: lambda value: re.fullmatch("[A-Za-z]*", value) is not None,
    "required": lambda _: bool,
    "length": _length,
    "minlength": lambda argument: (lambda low: lambda value: len(value) >= low)(int(argument)),
    "maxlength": lambda argument: (lambda high: lambda value: len(value) <= high)(int(argument)),
    "min": lambda argument: _between(int(argument), None),
    "max": lambda argument: _between(None, int(argument)),
    "range": _range,
}
