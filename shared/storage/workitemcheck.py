"""What must be true of the rows of workitems: each number has one, each UID says its number, no row denies itself."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping

from shared.dicom.workitemkeys import STATE, TRANSACTION_UID
from shared.storage.keys import SHARDS, segment_table
from shared.storage.tables import Entity, Tables, whole
from shared.storage.workitemrows import COUNTED, KIND, PLACES, dataset_of, number_of

_Rows = dict[tuple[str, str], tuple[int, Entity]]


async def faults(tables: Tables) -> tuple[Counter[str], list[str]]:
    """How many there are of what, and a line for each broken rule. None says anything of a patient.

    What a dead worker left is counted and not broken: a claim without a workitem, which is taken over, and a workitem
    whose claim does not say its number yet, which the next who asks for it writes down.
    """
    counts: Counter[str] = Counter()
    places: dict[tuple[str, str], Entity] = {}
    async for page in tables.pages(PLACES, "PartitionKey gt ' '"):
        for row in page:
            dp, _, uid = row["PartitionKey"].partition("~")
            places[dp, uid] = row
    broken: list[str] = []
    rows: _Rows = {}
    numbers: dict[str, set[int]] = {}
    for shard in range(SHARDS):
        async for page in tables.pages(segment_table(KIND, shard), "PartitionKey gt ' '"):
            for row in page:
                place = row["PartitionKey"].partition("~")[0], row["uid"]
                number = number_of(row["RowKey"])
                numbers.setdefault(place[0], set()).add(number)
                if place in rows:
                    broken.append(f"workitem {place[0]} {place[1]}: there is more than one row")
                rows[place] = number, row
                broken += [f"workitem {place[0]} {place[1]}: {fault}" for fault in _row_faults(row)]
    broken += [
        f"workitems {dp}: numbers have gaps" for dp, own in numbers.items() if own != set(range(1, len(own) + 1))
    ]
    broken += _place_faults(rows, places, counts)
    counts["workitems"] = len(rows)
    return counts, broken


def _row_faults(row: Entity) -> Iterator[str]:
    try:
        dataset = dataset_of(row)
    except (ValueError, zlib.error):
        yield "its data set cannot be read"
        return
    if f"{TRANSACTION_UID:08X}" in dataset:
        yield "its data set has a Transaction UID"
    if (
        dataset.get(f"{STATE:08X}", {}).get("Value") != [row["state"]]
        or row.get("q_ProcedureStepState") != row["state"].casefold()
    ):
        yield "its states do not agree"
    if dataset.get("00080018", {}).get("Value") != [row["uid"]]:
        yield "its data set has another UID"
    if (row["state"] == "IN PROGRESS") > bool(row["lock"]):
        yield "it is in progress, and nobody holds it"


def _place_faults(rows: _Rows, places: Mapping[tuple[str, str], Entity], counts: Counter[str]) -> Iterator[str]:
    for (dp, uid), place in places.items():
        said = whole(place, COUNTED)
        number, row = rows.get((dp, uid), (0, {}))
        if not said:
            counts["claims to settle" if number else "claims without a workitem"] += 1
        elif said != number:
            yield f"workitem {dp} {uid}: its number is {number}, its claim says {said}"
        if number and row["token"] != place["token"]:
            yield f"workitem {dp} {uid}: it was made for another claim"
    for dp, uid in rows.keys() - places.keys():
        yield f"workitem {dp} {uid}: nobody has claimed its UID"
