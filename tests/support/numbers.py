"""Work whose every trace can be counted: each slice writes some numbered rows and adds its own number to a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.storage.stores import Stores
from tests.support.numbers_app.counted import ROWS_A_SLICE, TABLE

APP = Path(__file__).resolve().parent / "numbers_app"
"""The service, with this as its kind of work `export`."""


def work(total: int, pause_seconds: float = 0.0) -> dict[str, Any]:
    """The state that work of so many rows begins with."""
    return {"total": total, "next": 0, "slices": [], "pause": pause_seconds}


async def rows(stores: Stores, operation_id: str) -> list[int]:
    """Numbers of the rows that are there, in order."""
    pages = stores._tables.pages(TABLE, f"PartitionKey eq '{operation_id}'")
    return [int(row["RowKey"][1:]) async for page in pages for row in page]


def expect_once(ended: dict[str, Any], written: list[int], total: int) -> None:
    """Every row was written, and every slice counted once and in order."""
    slices = -(-total // ROWS_A_SLICE)
    assert written == list(range(total))
    assert ended["results"] == {"exported": total, "slices": list(range(slices))}
