"""Records of a schema that this code does not know: refused and named, never taken for something else."""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import UnknownSchema
from shared.storage.keys import SCHEMA
from shared.storage.schema import expect_readable
from tests.storage.restored import ANY_SYNTAX, OCTETS, Restored, placed, restored
from tests.support.clients import made
from tests.support.front import Answer
from tests.support.recorded import PARTITION, Record, dump, recorded

pytestmark = pytest.mark.azurite

AT_ONCE = timedelta(0)

# Guards and heads of segments hold nothing and are only ever merged; packs can be made anew.
NEVER_READ = ("!~", "~H")


def kinds(record: Record) -> dict[str, str]:
    """A record of each kind: what it is, and where."""
    found: dict[str, str] = {}
    for table, entities in sorted(record["tables"].items()):
        for row in sorted(entities, key=lambda row: (row["PartitionKey"], row["RowKey"])):
            if not row["RowKey"].endswith(NEVER_READ) and not row["PartitionKey"].startswith("d1~"):
                # Of marks the last: a new segment's is how searches meet what is newer than they know.
                kind, where = kind_of(table, row), f"{table} {row['PartitionKey']} {row['RowKey']}"
                found[kind] = where if kind.endswith("mark") else found.get(kind, where)
    blobs = [blob["name"] for blob in record["blobs"] if blob["name"].startswith("0/")]
    found["frames"] = f"blob {next(name for name in blobs if name.endswith('.frames'))}"
    found["file"] = f"blob {next(name for name in blobs if f'{name}.frames' in blobs)}"
    return found


def kind_of(table: str, row: dict[str, Any]) -> str:
    if table.startswith("main"):
        return "study" if row["RowKey"] == "!" else "instance" if "blob" in row else "series"
    if table == "work":
        kind = ("batch of a " if "victims" in row else "") + str(row["PartitionKey"])
        return f"hint of {row['RowKey'].partition('~')[0]}" if kind == "hint" else kind
    if table.startswith(("log", "ser")):
        return table[:3] + (" mark" if row["RowKey"] == "~C" else " row")
    return f"parts of {row['RowKey'][0]}" if table == "parts" else table


KINDS = kinds(recorded(SCHEMA))
FOR_SEARCH = {"hint of log", "hint of ser"}
FOR_THE_SWEEP = {"delete", "batch of a delete", "seal", "writer", "parts of i"}
QUICK = {"study", "instance", "log row", "log mark", "feed", "delete", "file"}


def renumbered(record: Record, where: str, number: int) -> Record:
    """A record with another schema number in one place."""
    changed = copy.deepcopy(record)
    placed(changed)[where]["schema"] = str(number) if where.startswith("blob ") else number
    return changed


async def asked(found: Restored) -> AsyncIterator[Answer]:
    """Answers to requests that between them read all kinds of records."""
    for one in {one.uids[1]: one for one in reversed(found.instances())}.values():
        yield await found.front.ask("GET", one.path, Accept=ANY_SYNTAX)
        yield await found.front.ask("GET", f"{one.path}/metadata")
        yield await found.front.ask("GET", f"{one.path}/frames/1", Accept=OCTETS)
    for search in ("studies", "series", "instances", "studies?PatientName=Nobody", "series?Modality=XX"):
        yield await found.front.ask("GET", f"/v2/{search}")
    yield await found.front.ask("GET", "/v2/changefeed")


def test_all_kinds_of_records_are_tried():
    assert len(KINDS) == 20, sorted(KINDS)


async def refuses_to_sweep(found: Restored) -> bool:
    """Whether the sweep or the check of the store meets the record, which they neither judge nor delete."""
    try:
        await found.stores.sweep.run(AT_ONCE, AT_ONCE)
        await found.stores.fsck()
    except UnknownSchema:
        return True
    return False


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.slow) for kind in KINDS]
)
async def test_a_record_of_a_later_schema_is_refused_and_named(azurite, kind, caplog):
    """Never taken for something else: 503 and a line that says which record, or an answer that does not need it."""
    record = renumbered(recorded(SCHEMA), KINDS[kind], SCHEMA + 1)
    partitions = kind.startswith("parts")
    if kind.endswith("mark"):
        # A worker that has been at work for a while, as one that knows of older segments only.
        record["tables"]["work"] = [row for row in record["tables"]["work"] if row["PartitionKey"] != "hint"]
    async with restored(azurite.connection_string, record, data_partitions=partitions) as found:
        with caplog.at_level(logging.ERROR):
            if partitions:
                answers = [await found.front.ask("GET", f"/v2/partitions/{PARTITION}/studies")]
            else:
                answers = [answer async for answer in asked(found)]
            unswept = await refuses_to_sweep(found)
    refused = [answer for answer in answers if answer.status == 503]
    assert {answer.status for answer in answers} <= {200, 204, 503}
    assert all(b"another release" in one.content and one.headers["retry-after"] == "60" for one in refused)
    assert (bool(refused), unswept) == (kind not in FOR_THE_SWEEP, kind not in FOR_SEARCH)
    lines = [one.getMessage() for one in caplog.records if one.name == "shared.storage.schema"]
    assert lines
    assert all(KINDS[kind].split(" ")[-1] in line and f"schema {SCHEMA + 1}" in line for line in lines)
    assert not any(text in line for line in lines for text in ("Recorded", "SYN-1", "20240229"))


async def test_a_store_into_a_study_of_a_later_schema_is_503_and_leaves_nothing(azurite):
    record = renumbered(recorded(SCHEMA), KINDS["study"], SCHEMA + 1)
    study = KINDS["study"].split(" ")[1].partition("~")[2]
    async with restored(azurite.connection_string, record) as found:
        before = placed(await dump(found.account))
        content = made(columns=8, study_uid=study).content
        answer = await found.front.ask("POST", "/v2/studies", content, Content_Type="application/dicom")
        assert answer.status == 503
        after = placed(await dump(found.account))
        assert {place for place in before.keys() ^ after.keys() if not place.startswith("work writer")} == set()
        assert after[KINDS["study"]] == before[KINDS["study"]]


async def test_files_of_a_later_schema_survive_a_sweep_that_finds_no_row_for_them(azurite):
    """Their rows may be where this code does not look."""
    record = renumbered(recorded(SCHEMA), KINDS["file"], SCHEMA + 1)
    name = KINDS["file"].partition(" ")[2]
    for table, rows in record["tables"].items():
        record["tables"][table] = [row for row in rows if row.get("blob") != name]
    async with restored(azurite.connection_string, record) as found:
        assert await refuses_to_sweep(found)
        assert KINDS["file"] in placed(await dump(found.account))


async def test_a_finished_metadata_answer_of_a_later_schema_is_made_anew(azurite):
    pack = next(place for place in placed(recorded(SCHEMA)) if place.startswith("blob packs/"))
    _, _, study, series = pack.split("/")
    async with restored(azurite.connection_string, renumbered(recorded(SCHEMA), pack, SCHEMA + 1)) as found:
        answer = await found.front.ask("GET", f"/v2/studies/{study}/series/{series}/metadata")
        assert (answer.status, len(answer.json())) == (200, 8)
        await found.stores.packs.settled()
        assert placed(await dump(found.account))[pack]["schema"] == str(SCHEMA)


@pytest.mark.parametrize("number", [None, SCHEMA - 1, SCHEMA])
def test_a_number_that_is_read(number):
    expect_readable(number, "table", "row")


@pytest.mark.parametrize("number", [SCHEMA - 2, SCHEMA + 1, "", "two", -1])
def test_a_number_that_is_not_read(number):
    with pytest.raises(UnknownSchema):
        expect_readable(number, "table", "row")
