"""Bound routes: what one generated trigger serves, with everything the pipeline needs looked up beforehand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.api.access.actions import Rule
from shared.api.fallback import Fallback
from shared.api.farewell import Farewell
from shared.api.lineup import HeaderLines
from shared.api.params import Parameter
from shared.api.patterns import Pattern
from shared.behaviours import Behaviours
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply
from shared.wire.media import Offer

Handler = Callable[[Call, Stores], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Service:
    """What a row asks for and promises.

    Attributes:
        handler: the room's function.
        rule: who may call it, and how that is recorded.
        parameters: everything the operation takes, path included.
        media_types: those its body may have; empty when it reads no body.
        offers: representations; empty when nothing is negotiated.
        partition: the path parameter that names a partition, for operations on data that may live in partitions.
        statuses: every status it may answer.
        behaviours: how its version wants things done.
    """

    handler: Handler
    rule: Rule
    parameters: tuple[Parameter, ...]
    media_types: tuple[str, ...]
    offers: tuple[Offer, ...]
    partition: Parameter | None
    statuses: frozenset[int]
    behaviours: Behaviours


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One function of the app.

    Attributes:
        name: function name; its upper-cased order is the order of matching.
        pattern: the paths it takes.
        methods: the methods it takes.
        operation: operation id, for logs.
        version: label, for logs; empty without a version.
        headers: lines of every answer, errors included.
        work: what it does.
        farewell: headers about the end of its version; None for a version that stays, and without a version.
    """

    name: str
    pattern: Pattern
    methods: tuple[str, ...]
    operation: str
    version: str
    headers: HeaderLines
    work: Service | Fallback
    farewell: Farewell | None = None
