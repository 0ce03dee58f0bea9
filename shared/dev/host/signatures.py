"""How a function may be called.

The checks are those that the Python worker makes on parameters and annotations when it indexes an app.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from azure.functions import QueueMessage, TimerRequest
from azurefunctions.extensions.base import HttpV2FeatureChecker, RequestTrackerMeta, ResponseTrackerMeta


class SignatureError(ValueError):
    """A function that the worker could not call; the text says why."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A function and how it wants to be called.

    Attributes:
        call: the function itself.
        argument: name of the parameter the trigger fills.
        annotation: its type, or None.
        wants_context: whether it has a `context` parameter.
        is_async: coroutine functions run in the loop, others in a pool.
    """

    call: Callable[..., Any]
    argument: str
    annotation: type | None
    wants_context: bool
    is_async: bool


def read(function: Callable[..., Any], argument: str, trigger: str) -> Handler:
    """Check one function against its trigger.

    Raises:
        SignatureError: the worker would refuse it.
    """
    try:
        inspect.getfile(inspect.unwrap(function))
        parameters = set(inspect.signature(function).parameters)
        annotations = typing.get_type_hints(function)
    except (TypeError, ValueError, NameError, AttributeError) as error:
        raise SignatureError(f"its annotations cannot be read at run time ({error})") from error
    wants_context = "context" in parameters and argument != "context"
    if wants_context:
        parameters.discard("context")
        context = annotations.get("context")
        if context is not None and getattr(context, "__name__", "") != "Context":
            raise SignatureError("its parameter context must be annotated azure.functions.Context or not at all")
    if parameters != {argument}:
        raise SignatureError(f"takes {sorted(parameters)}, while its trigger fills [{argument!r}]")
    annotation = annotations.get(argument)
    if annotation is not None and not isinstance(annotation, type):
        raise SignatureError(f"the annotation of {argument} must be one class")
    _CHECKS[trigger](annotation, annotations)
    return Handler(function, argument, annotation, wants_context, inspect.iscoroutinefunction(function))


def _check_http(annotation: type | None, annotations: dict[str, Any]) -> None:
    enabled: Callable[[], bool] = HttpV2FeatureChecker.http_v2_enabled
    if not enabled():
        raise SignatureError(
            "the app does not import azurefunctions.extensions.http.fastapi; only HTTP streams are served"
        )
    if annotation is not None and not RequestTrackerMeta.check_type(annotation):
        raise SignatureError(f"takes a {annotation.__name__}; with HTTP streams a request is a FastAPI Request")
    if "return" in annotations:
        wanted = annotations["return"]
        if not isinstance(wanted, type):
            raise SignatureError("its return annotation must be one class (no union)")
        if not ResponseTrackerMeta.check_type(wanted):
            raise SignatureError(f"returns a {wanted.__name__}; with HTTP streams a reply is a FastAPI Response")


def _check_queue(annotation: type | None, _annotations: dict[str, Any]) -> None:
    if annotation is not None and annotation not in (str, bytes) and not issubclass(annotation, _base(QueueMessage)):
        raise SignatureError(f"takes a {annotation.__name__}; a queue trigger fills QueueMessage, str or bytes")


def _check_timer(annotation: type | None, _annotations: dict[str, Any]) -> None:
    if annotation is not None and not issubclass(annotation, _base(TimerRequest)):
        raise SignatureError(f"takes a {annotation.__name__}; a timer trigger fills TimerRequest")


def _base(public: Any) -> type:
    """The abstract class of the vendor's type, which is what its own check compares with."""
    bases: tuple[type, ...] = public.__mro__
    return next(base for base in reversed(bases) if base.__name__ == public.__name__)


_CHECKS = {"httpTrigger": _check_http, "queueTrigger": _check_queue, "timerTrigger": _check_timer}
