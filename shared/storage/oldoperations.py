"""Operations that ended long ago: nobody asks about them any more, and the sweep takes them away."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.storage.errors import OutcomeUnknown, TransactionFailed
from shared.storage.operations import PARTITION, TABLE, OperationStatus, operation_row
from shared.storage.tables import TRANSACTION_LIMIT, Tables, Write, quoted

KEPT = timedelta(days=90)
"""How long the state of an operation can be asked for, once it has ended."""
MOST = 5 * TRANSACTION_LIMIT
"""So many go in one sweep; the next one goes on."""

_UNFINISHED = (OperationStatus.NOT_STARTED, OperationStatus.RUNNING)


async def forget(tables: Tables, before: datetime, most: int = MOST) -> int:
    """Take away operations that ended before a moment; gives their number.

    What stood beside their rows went when they ended, and so did their state.
    """
    first, behind = operation_row(""), operation_row("~")
    rows = f"PartitionKey eq {quoted(PARTITION)} and RowKey ge {quoted(first)} and RowKey lt {quoted(behind)}"
    ended = " and ".join(f"status ne {quoted(status.value)}" for status in _UNFINISHED)
    asked = f"{rows} and updated lt {quoted(before.isoformat())} and {ended}"
    keys: list[str] = []
    async for page in tables.pages(TABLE, asked, ("RowKey",)):
        keys += [row["RowKey"] for row in page]
        if len(keys) >= most:
            break
    done = 0
    for start in range(0, min(len(keys), most), TRANSACTION_LIMIT):
        part = keys[start : min(start + TRANSACTION_LIMIT, most)]
        try:
            await tables.transact(TABLE, PARTITION, [Write("delete", key) for key in part])
        except (TransactionFailed, OutcomeUnknown):
            break  # another sweep is at it; what is left is seen again
        done += len(part)
    return done
