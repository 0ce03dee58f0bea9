"""Where an error came from, for logs. Without messages: those of libraries may quote attribute values."""

from __future__ import annotations

import itertools
import traceback


def trace(error: BaseException) -> str:
    """The places an error and its causes went through."""
    lines = ([f"{name(one)}\n", *traceback.format_tb(one.__traceback__)] for one in chain(error))
    return "".join(itertools.chain.from_iterable(lines))


def chain(error: BaseException) -> list[BaseException]:
    """The error and what led to it."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def name(error: BaseException) -> str:
    """The whole name of an error's class."""
    return f"{type(error).__module__}.{type(error).__qualname__}"
