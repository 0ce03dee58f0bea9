"""Pages of a search that walks a log, newest part first: a segment of studies or series, or a block of workitems.

Which parts there are, which may have matches and how many are read at once is the walk's; rows of one part and what an
offset skips are the same for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from shared.storage.conditions import Condition, columns_of, is_exact, match_all, where
from shared.storage.tables import Entity, Tables

MOST_AT_ONCE = 32
"""So many parts are read at once at most."""
_PAGE = 1000
_SKIPPED_BY_KEYS = 200
"""From this offset on, rows that are skipped are read by their keys first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a walk is to bring of each part.

    Attributes:
        conditions: what rows must satisfy.
        columns: properties to bring.
        enough: so many rows of one part will do; None for all.
        start: the part to begin with; None for the newest.
    """

    conditions: Sequence[Condition]
    columns: tuple[str, ...]
    enough: int | None = None
    start: int | None = None


Part = tuple[int, list[Entity]]
"""Number of a part, and its matching rows, newest first."""
Walk = Callable[[Wanted], AsyncGenerator[Part, None]]


async def page_of(walk: Walk, answers: Wanted, keys: tuple[str, ...], offset: int, limit: int) -> list[Entity]:
    """Matching rows from an offset on, newest first.

    Args:
        walk: gives parts, newest first.
        answers: what the page is made of.
        keys: properties that are enough to count a row.
        offset: so many are skipped.
        limit: so many at most.
    """
    start, skip = None, offset
    if offset >= _SKIPPED_BY_KEYS:
        start, skip = await _place_of(walk, replace(answers, columns=keys), offset)
        if start is None:
            return []
    found: list[Entity] = []
    enough = skip + limit
    async with aclosing(walk(replace(answers, enough=enough, start=start))) as parts:
        async for _, rows in parts:
            found += rows
            if len(found) >= enough:
                break
    return found[skip:enough]


async def read_each(parts: Sequence[int], rows: Callable[[int], Awaitable[list[Entity]]]) -> list[Part]:
    """Rows of several parts, read at once."""
    return list(zip(parts, await asyncio.gather(*map(rows, parts)), strict=True))


async def matching_rows(tables: Tables, table: str, part: str, wanted: Wanted) -> list[Entity]:
    """Matching rows of one part, the newest first.

    Args:
        tables: where they are.
        table: its table.
        part: the `$filter` of the part.
        wanted: which of its rows.
    """
    conditions, enough = wanted.conditions, wanted.enough
    select = tuple(dict.fromkeys((*wanted.columns, *columns_of(conditions))))
    top = min(enough, _PAGE) if enough is not None and is_exact(conditions) else _PAGE
    found: list[Entity] = []
    async for page in tables.pages(table, where(part, conditions), select, top):
        found += [row for row in page if match_all(row, conditions)]
        if enough is not None and len(found) >= enough:
            break
    return found


async def _place_of(walk: Walk, keys: Wanted, offset: int) -> tuple[int | None, int]:
    """The part with the row at an offset, and how many rows to skip in it; no part past the end."""
    async with aclosing(walk(keys)) as parts:
        async for part, rows in parts:
            if offset < len(rows):
                return part, offset
            offset -= len(rows)
    return None, 0
