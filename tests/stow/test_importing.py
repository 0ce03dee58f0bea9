"""Dropped files on real storage, worked on in this process."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import BlobType

from shared.api.imports import conduct_of
from shared.errors import StoreUnavailable
from shared.settings import ImportSettings, Settings
from shared.storage.filerecords import FileStatus
from shared.storage.stores import Stores, open_stores
from shared.stow import importing, importwork
from shared.stow.importing import ImportConduct, ImportFailed
from shared.stow.notices import notice
from shared.wado.handlers import retrieve_instance
from tests.storage.made import DiesAfter, WorkerDied
from tests.support.calls import AS_STORED, bytes_of, call
from tests.support.clients import Made, made, uids_of
from tests.support.imports import CONTAINER, DropBox
from tests.support.jobs import messages, received
from tests.support.storage import WatchedTransport, fresh_settings
from tests.support.versions import MANIFESTS

pytestmark = pytest.mark.azurite

AT_ONCE = timedelta(0)
CALLS = 22
ODD_NAMES = [
    "plain.dcm",
    "with space/and+plus/ä ö ü/日本.dcm",
    "per%20cent%2Fslash%25.dcm",
    "a?b#c&d=e;f'g\"h<i>.dcm",
    "dots/..hidden/...dcm",
    "no extension~_-(1)[2]{3}!*,:@$",
    "double//slash.dcm",
]


@dataclass
class Bench:
    """A worker with its account."""

    stores: Stores
    box: DropBox
    transport: WatchedTransport
    connection: str
    conduct: ImportConduct

    async def told(self, *paths: str) -> None:
        """Work on a message that names files, as a worker."""
        events = [json.loads(notice(path, self.stores.dropped)) for path in paths]
        await importing.run(json.dumps(events), self.stores, self.conduct)

    async def dropped(self, path: str, content: bytes, **options: Any) -> dict[str, Any]:
        """Drop a file, have it worked on, and see what has become of it."""
        await self.box.drop(path, content, **options)
        await self.told(path)
        found = await self.box.outcome(path)
        assert found is not None
        return found

    async def holds(self, instance: Made) -> bool:
        reply = await retrieve_instance(call(choice=AS_STORED, **uids_of(instance)), self.stores)
        return instance.content in await bytes_of(reply)


def odd() -> Made:
    """An instance that is stored with a warning: its StudyDate is none."""
    one = made()
    return replace(one, content=one.content.replace(b"20240229", b"2024AB29"))


@asynccontextmanager
async def bench(azurite, **options: Any) -> AsyncIterator[Bench]:
    settings = fresh_settings(azurite.connection_string, **options)
    transport = WatchedTransport()
    stores = open_stores(settings, transport)
    try:
        async with DropBox(settings.storage_connection) as box:
            conduct = conduct_of(MANIFESTS, settings)
            yield Bench(stores, box, transport, settings.storage_connection, conduct)
    finally:
        transport.fault = lambda _: None
        await stores.close()
        await transport.close()


async def test_a_file_is_stored_byte_by_byte_and_goes(azurite):
    async with bench(azurite) as on:
        one = made()
        outcome = await on.dropped("clinic/a/IM0001.dcm", one.content)
        assert await on.holds(one)
        assert (outcome["status"], outcome["bytes"], outcome["tries"]) == ("stored", len(one.content), 1)
        uids = (outcome["studyInstanceUID"], outcome["seriesInstanceUID"], outcome["sopInstanceUID"])
        assert uids == (one.study_uid, one.series_uid, one.sop_instance_uid)
        assert not {"reason", "failureReason", "warningReason", "keptAs", "holder", "until"} & outcome.keys()
        assert await on.box.left() == []
        assert await on.box.kept() == ["outcomes/clinic/a/IM0001.dcm.json"]


async def test_each_file_leaves_one_record_for_the_audit_without_its_path(azurite, caplog):
    caplog.set_level(logging.INFO, "dicom.audit")
    async with bench(azurite) as on:
        one = made()
        await on.dropped("Doe^Jane/IM0001.dcm", one.content)
        await on.dropped("Doe^Jane/no.dcm", b"nothing")
        records = [json.loads(line.getMessage()) for line in caplog.records if line.name == "dicom.audit"]
        assert [(line["action"], line["outcome"]) for line in records] == [
            ("bulk-import-store", "stored"),
            ("bulk-import-store", "failed"),
        ]
        assert records[0]["resources"] == {
            "studyInstanceUid": one.study_uid,
            "seriesInstanceUid": one.series_uid,
            "sopInstanceUid": one.sop_instance_uid,
        }
        assert "Doe" not in caplog.text


async def test_bytes_are_copied_within_storage_and_not_sent_by_the_worker(azurite):
    async with bench(azurite) as on:
        one = made(pixel_bytes=9_000_000)
        await on.dropped("big.dcm", one.content)
        assert "PUT blob block" not in on.transport.calls
        assert await on.holds(one)


async def test_where_storage_does_not_copy_the_file_goes_through_the_worker(azurite):
    async with bench(azurite) as on:
        await on.dropped("before.dcm", made().content)
        one = made(pixel_bytes=9_000_000)

        def refuse(request):
            if "x-ms-copy-source" in request.headers:
                request.headers["x-ms-copy-source"] = "no address"

        on.transport.fault = refuse
        assert (await on.dropped("big.dcm", one.content))["status"] == "stored"
        assert on.transport.calls.count("PUT blob block") == 3
        assert await on.holds(one)


async def test_files_may_have_odd_names(azurite):
    async with bench(azurite) as on:
        for path in ODD_NAMES:
            one = made()
            assert (await on.dropped(path, one.content))["file"] == path
            await on.dropped(f"x{path}", b"no DICOM")
            assert await on.holds(one), path
        assert await on.box.left() == []
        assert sorted(await on.box.kept("failed/")) == sorted(f"failed/x{path}" for path in ODD_NAMES)


async def test_a_name_of_the_greatest_length_has_an_outcome_under_its_hash(azurite):
    async with bench(azurite) as on:
        path = "/".join(["f" * 100] * 10)[:1010] + "/é.dcm"
        name = hashlib.sha256(path.encode()).hexdigest()
        assert (await on.dropped(path, b"no DICOM"))["keptAs"] == f"failed/{path}"
        longest = path[:-4] + "x" * (1024 - len(path)) + ".dcm"
        name = hashlib.sha256(longest.encode()).hexdigest()
        assert (await on.dropped(longest, b"no DICOM"))["keptAs"] == f"failed/~{name}"
        assert f"outcomes/~{name}.json" in await on.box.kept()


async def test_what_is_no_dicom_has_failed_and_stays_readable(azurite):
    async with bench(azurite) as on:
        cut = made(pixel_bytes=100_000).content[:-5]
        for path, content in (("notes.txt", b"not DICOM at all"), ("cut.dcm", cut)):
            outcome = await on.dropped(path, content)
            assert (outcome["status"], outcome["failureReason"]) == ("failed", 43264)
            assert outcome["reason"].startswith("This is no DICOM file")
            assert await on.box.content(outcome["keptAs"]) == content
        assert await on.box.left() == await on.box.stored() == []


async def test_the_rules_are_those_of_the_version_that_the_setting_names(azurite):
    content = made(patient_id="").content
    async with bench(azurite) as on:
        assert (await on.dropped("a", content))["status"] == "stored"
    async with bench(azurite, imports=ImportSettings(version="v1")) as on:
        outcome = await on.dropped("a", content)
        assert (outcome["status"], outcome["failureReason"]) == ("failed", 43264)
        assert outcome["attributes"] == ["DICOM100: (0010,0020) - " + outcome["attributes"][0].split(" - ")[1]]
        assert await on.box.content(outcome["keptAs"]) == content


async def test_a_warning_is_told_with_the_attribute_and_without_its_value(azurite):
    async with bench(azurite) as on:
        outcome = await on.dropped("a", odd().content)
        assert (outcome["status"], outcome["warningReason"]) == ("stored", 1)
        assert "(0008,0020)" in outcome["attributes"][0]
        assert "2024AB29" not in json.dumps(outcome)


async def test_what_is_stored_already_has_failed_as_in_a_store(azurite):
    async with bench(azurite) as on:
        one = made()
        await on.dropped("first.dcm", one.content)
        outcome = await on.dropped("second.dcm", one.content)
        assert (outcome["status"], outcome["failureReason"]) == ("failed", 45070)
        assert outcome["sopInstanceUID"] == one.sop_instance_uid
        assert await on.box.content("failed/second.dcm") == one.content
        assert len(await on.box.stored()) == 1


async def test_the_same_path_again_is_another_file(azurite):
    async with bench(azurite) as on:
        first, second = made(), made()
        before = await on.dropped("same.dcm", first.content)
        after = await on.dropped("same.dcm", second.content)
        assert (before["status"], after["status"]) == ("stored", "stored")
        assert before["fileETag"] != after["fileETag"]
        assert after["sopInstanceUID"] == second.sop_instance_uid


async def test_stored_files_are_kept_when_the_setting_says_so(azurite):
    async with bench(azurite, imports=ImportSettings(keep_stored=True)) as on:
        one = made()
        outcome = await on.dropped("a/b.dcm", one.content)
        assert (outcome["status"], outcome["keptAs"]) == ("stored", "stored/a/b.dcm")
        assert await on.box.content("stored/a/b.dcm") == one.content
        assert await on.box.left() == []


async def test_the_first_folder_is_the_partition_when_there_are_any(azurite):
    async with bench(azurite, data_partitions=True) as on:
        one, two = made(), made()
        assert (await on.dropped("clinic-a/x/1.dcm", one.content))["partition"] == "clinic-a"
        assert (await on.dropped("2.dcm", two.content))["partition"] == "Microsoft.Default"
        # The same instance in another partition is another instance.
        assert (await on.dropped("clinic-b/1.dcm", one.content))["status"] == "stored"
        refused = await on.dropped("no name!/1.dcm", made().content)
        assert refused["status"] == "failed"
        assert "data partition" in refused["reason"]
        assert list(await on.stores.partitions.all()) == ["Microsoft.Default", "clinic-a", "clinic-b"]


async def test_without_partitions_folders_mean_nothing(azurite):
    async with bench(azurite) as on:
        assert (await on.dropped("no name!/1.dcm", made().content))["partition"] == "Microsoft.Default"


async def test_an_empty_file_waits_for_its_bytes_and_then_fails(azurite, monkeypatch):
    async with bench(azurite) as on:
        await on.box.drop("empty.dcm", b"")
        await on.told("empty.dcm")
        assert await on.box.outcome("empty.dcm") is None
        monkeypatch.setattr("shared.storage.dropped.QUIET", AT_ONCE)
        monkeypatch.setattr("shared.storage.dropped.DroppedFile.complete", lambda self, now: True)
        await on.told("empty.dcm")
        outcome = await on.box.outcome("empty.dcm")
        assert outcome is not None
        assert (outcome["status"], outcome["reason"]) == ("failed", "The file is empty.")
        assert await on.box.left() == []


async def test_an_append_blob_is_left_alone_while_it_may_grow(azurite):
    async with bench(azurite) as on:
        one = made()
        await on.box.drop("grows.dcm", one.content, blob_type=BlobType.APPENDBLOB)
        await on.told("grows.dcm")
        assert await on.box.outcome("grows.dcm") is None
        file = await on.stores.dropped.find("grows.dcm")
        assert file is not None
        assert file.may_grow
        assert not file.complete(datetime.now(UTC))
        assert file.complete(datetime.now(UTC) + timedelta(minutes=6))


async def test_an_append_blob_that_is_left_alone_is_stored(azurite, monkeypatch):
    monkeypatch.setattr("shared.storage.dropped.DroppedFile.complete", lambda self, now: True)
    async with bench(azurite) as on:
        one = made()
        outcome = await on.dropped("grown.dcm", one.content, blob_type=BlobType.APPENDBLOB)
        assert outcome["status"] == "stored"
        assert await on.holds(one)


async def test_folders_are_no_files(azurite):
    async with bench(azurite) as on:
        await on.box.drop("folder", b"", metadata={"hdi_isfolder": "true"})
        await on.box.drop("marker/", b"")
        await on.told("folder", "marker/", "not there")
        assert await importing.poll(on.stores, AT_ONCE) == 0
        assert sorted(await on.box.left()) == ["folder", "marker/"]
        assert await on.box.kept() == []


async def test_metadata_of_others_is_theirs(azurite):
    """A file whose metadata has our own word for the form of records."""
    async with bench(azurite) as on:
        one = made()
        outcome = await on.dropped("a.dcm", one.content, metadata={"schema": "999", "study": "x"})
        assert outcome["status"] == "stored"
        assert await on.holds(one)


async def test_the_same_message_many_times_stores_once(azurite):
    async with bench(azurite) as on:
        one = made(pixel_bytes=200_000)
        await on.box.drop("a.dcm", one.content)
        await asyncio.gather(*(on.told("a.dcm") for _ in range(6)))
        await on.told("a.dcm", "a.dcm")
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert (outcome["status"], outcome["tries"]) == ("stored", 1)
        assert len(await on.box.stored()) == 1
        assert await on.box.left() == []


async def test_a_worker_leaves_a_file_to_the_one_that_holds_it(azurite):
    async with bench(azurite) as on:
        one = made()
        await on.box.drop("a.dcm", one.content)
        file = await on.stores.dropped.find("a.dcm")
        assert file is not None
        taken = await on.stores.file_records.take(file, None, "another")
        await on.told("a.dcm")
        assert await on.box.left() == ["a.dcm"]
        assert await importing.poll(on.stores, AT_ONCE) == 0
        # The other one dies.
        await on.stores.file_records._write(replace(taken, until=datetime.now(UTC)))
        await on.told("a.dcm")
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert (outcome["status"], outcome["tries"]) == ("stored", 2)


async def test_a_worker_that_was_overtaken_says_nothing(azurite):
    async with bench(azurite, lease_seconds=1) as on:
        one = made()
        await on.box.drop("a.dcm", one.content)
        file = await on.stores.dropped.find("a.dcm")
        assert file is not None
        slow = await on.stores.file_records.take(file, None, "slow")
        found = await on.stores.file_records.find("a.dcm")
        await on.stores.file_records.take(file, found, "quick")
        await importwork.ImportWork(on.stores, on.conduct, file, slow).run()
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert (outcome["status"], outcome["holder"]) == ("storing", "quick")
        assert await on.box.left() == ["a.dcm"]


async def test_a_small_file_takes_so_many_calls(azurite):
    async with bench(azurite) as on:
        await on.dropped("before.dcm", odd().content)
        await on.box.drop("a.dcm", odd().content)
        on.transport.forget()
        await on.told("a.dcm")
        assert len(on.transport.calls) <= CALLS, on.transport.calls


async def cut_off(azurite, calls: int) -> None:
    """A worker dies after so many calls. The same file again, by another one: stored once, told with its warning."""
    async with bench(azurite, lease_seconds=1) as on:
        await on.box.drop("a.dcm", odd().content)
        on.transport.fault = dying = DiesAfter(calls)
        with suppress(WorkerDied):
            await on.told("a.dcm")
        on.transport.fault = lambda _: None
        if dying.died:
            await asyncio.sleep(1.1)
        other = open_stores(Settings(storage_connection=on.connection, lease_seconds=1))
        try:
            await importing.run(notice("a.dcm", other.dropped), other, on.conduct)
            outcome = await on.box.outcome("a.dcm")
            assert outcome is not None, calls
            assert (outcome["status"], outcome["warningReason"]) == ("stored", 1), calls
            assert await on.box.left() == [], calls
            await other.sweep.run(AT_ONCE, AT_ONCE)
            assert len(await on.box.stored()) == 1, calls
        finally:
            await other.close()


async def test_a_worker_that_dies_is_made_up_for(azurite):
    await asyncio.gather(*(cut_off(azurite, calls) for calls in range(1, CALLS, 5)))


@pytest.mark.slow
async def test_a_worker_that_dies_anywhere_is_made_up_for(azurite):
    for first in range(0, CALLS, 8):
        await asyncio.gather(*(cut_off(azurite, calls) for calls in range(first, min(first + 8, CALLS))))


async def test_an_error_of_its_own_ends_a_file_after_five_tries(azurite, monkeypatch, caplog):
    async def broken(*_):
        raise RuntimeError("with a value of the patient")

    async with bench(azurite) as on:
        await on.box.drop("a.dcm", made().content)
        monkeypatch.setattr(importwork.ImportWork, "_store", broken)
        for _ in range(4):
            with pytest.raises(ImportFailed):
                await on.told("a.dcm")
        await on.told("a.dcm")
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert outcome["status"] == "failed"
        assert outcome["reason"] == "Given up after 5 tries; the last one ended with RuntimeError."
        assert await on.box.kept("failed/") == ["failed/a.dcm"]
    assert "patient" not in caplog.text
    assert "a.dcm" not in caplog.text


async def test_a_file_that_kills_its_workers_comes_to_an_end(azurite):
    async with bench(azurite) as on:
        await on.box.drop("a.dcm", made().content)
        file = await on.stores.dropped.find("a.dcm")
        assert file is not None
        taken = await on.stores.file_records.take(file, None, "dead")
        await on.stores.file_records._write(replace(taken, tries=20, until=None))
        await on.told("a.dcm")
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert (outcome["status"], outcome["reason"]) == ("failed", "Given up after 20 tries that did not end.")


async def test_a_file_never_fails_by_storage_that_is_away(azurite):
    async with bench(azurite) as on:
        one = made()
        await on.box.drop("a.dcm", one.content)
        on.transport.fault = lambda request: "before" if "/main" in request.url else None
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await on.told("a.dcm")
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert (outcome["status"], outcome["tries"]) == ("storing", 0)
        on.transport.fault = lambda _: None
        await on.told("a.dcm")
        assert await on.holds(one)


async def test_the_others_of_a_message_need_not_wait_for_one(azurite):
    async with bench(azurite) as on:
        one, two = made(), made()
        await on.box.drop("1.dcm", one.content)
        await on.box.drop("2.dcm", two.content)
        on.transport.fault = lambda request: "before" if "1.dcm" in request.url and request.method == "GET" else None
        with pytest.raises(StoreUnavailable):
            await on.told("1.dcm", "2.dcm")
        assert await on.holds(two)


async def test_a_file_that_is_written_anew_while_it_is_read_is_not_stored(azurite):
    async with bench(azurite) as on:
        first, second = made(pixel_bytes=3_000_000), made()
        await on.box.drop("a.dcm", first.content)
        file = await on.stores.dropped.find("a.dcm")
        assert file is not None
        taken = await on.stores.file_records.take(file, None, "me")
        await on.box.drop("a.dcm", second.content)
        await importwork.ImportWork(on.stores, on.conduct, file, taken).run()
        assert await on.box.stored() == []
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert (outcome["status"], outcome["reason"].split(",")[0]) == ("failed", "The file was taken away")
        await on.told("a.dcm")
        assert await on.holds(second)


async def test_a_file_that_is_taken_away_before_anybody_sees_to_it_is_told_as_that(azurite):
    async with bench(azurite) as on:
        await on.box.drop("a.dcm", made().content)
        assert await importing.poll(on.stores, AT_ONCE) == 1
        await on.box.container.delete_blob("a.dcm")
        await on.told("a.dcm")
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert (outcome["status"], outcome.get("keptAs")) == ("failed", None)


async def test_a_connection_that_breaks_in_the_middle_is_followed_by_another(azurite, monkeypatch):
    monkeypatch.setattr("shared.storage.dropped.RANGE_BYTES", 100_000)
    async with bench(azurite) as on:
        one = made(pixel_bytes=300_000)
        await on.box.drop("a.dcm", one.content)
        broken: list[str] = []

        def breaks(request):
            ranged = request.headers.get("x-ms-range", "")
            if ranged and len(broken) < 8:
                broken.append(ranged)
                return "before"
            return None

        on.transport.fault = breaks
        await on.told("a.dcm")
        assert await on.holds(one)


async def test_a_file_that_somebody_holds_is_stored_and_stays(azurite):
    async with bench(azurite) as on:
        one = made()
        await on.box.drop("a.dcm", one.content)
        lease = await on.box.container.get_blob_client("a.dcm").acquire_lease()
        await on.told("a.dcm")
        assert await on.holds(one)
        assert await on.box.left() == ["a.dcm"]
        await on.told("a.dcm")
        await lease.release()
        await on.told("a.dcm")
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert (outcome["status"], outcome["tries"]) == ("stored", 1)
        assert await on.box.left() == []


async def test_the_poll_finds_what_no_message_tells_of_and_says_it_once(azurite):
    async with bench(azurite) as on:
        content = {f"p/{number}.dcm": made() for number in range(3)}
        for path, one in content.items():
            await on.box.drop(path, one.content)
        assert await importing.poll(on.stores) == 0  # young files have an event on its way
        assert await importing.poll(on.stores, AT_ONCE) == 3
        assert await importing.poll(on.stores, AT_ONCE) == 0
        for path in content:
            outcome = await on.box.outcome(path)
            assert outcome is not None
            assert outcome["status"] == "queued"
        for text in await received(on.connection, CONTAINER):
            await importing.run(text, on.stores, on.conduct)
        assert [await on.holds(one) for one in content.values()] == [True] * 3
        assert await importing.poll(on.stores, AT_ONCE) == 0
        assert await on.box.left() == []


def long_ago(seconds: int) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def test_the_poll_repeats_a_message_that_got_lost(azurite):
    async with bench(azurite, lease_seconds=1) as on:
        await on.box.drop("a.dcm", made().content)
        assert await importing.poll(on.stores, AT_ONCE) == 1
        file, known = await on.stores.dropped.find("a.dcm"), await on.stores.file_records.find("a.dcm")
        assert file is not None
        assert known is not None
        await on.stores.file_records._write(replace(known, posted=long_ago(6), updated=long_ago(6)))
        assert await importing.poll(on.stores, AT_ONCE) == 1
        assert len(await messages(on.connection, CONTAINER)) == 2
        # A worker that died is noticed sooner.
        known = await on.stores.file_records.find("a.dcm")
        taken = await on.stores.file_records.take(file, known, "dead")
        assert await importing.poll(on.stores, AT_ONCE) == 0
        await on.stores.file_records._write(replace(taken, until=long_ago(3), updated=long_ago(3), posted=long_ago(4)))
        assert await importing.poll(on.stores, AT_ONCE) == 1
        assert await importing.poll(on.stores, AT_ONCE) == 0


async def test_the_poll_adds_nothing_to_a_long_queue(azurite, monkeypatch):
    monkeypatch.setattr(importing, "MOST_QUEUED", 2)
    async with bench(azurite) as on:
        for number in range(3):
            await on.box.drop(f"{number}.dcm", made().content)
        assert await importing.poll(on.stores, AT_ONCE) == 3
        await on.box.drop("late.dcm", made().content)
        assert await importing.poll(on.stores, AT_ONCE) == 0


async def test_the_poll_makes_the_container(azurite):
    settings = fresh_settings(azurite.connection_string)
    stores = open_stores(settings)
    try:
        assert await importing.poll(stores, AT_ONCE) == 0
        async with DropBox(settings.storage_connection) as box:
            assert await box.container.exists()
    finally:
        await stores.close()


async def test_messages_that_nobody_understands_are_dropped(azurite, caplog):
    async with bench(azurite) as on:
        for text in ("", "no JSON", "[]", "3", base64.b64encode(b"still none").decode()):
            await importing.run(text, on.stores, on.conduct)
            importing.poison(text, on.stores)
        assert on.transport.calls == []
    assert caplog.text.count("cannot be understood") == 10
    assert "no JSON" not in caplog.text


async def test_a_file_that_the_poll_and_an_event_tell_of_has_one_outcome(azurite):
    async with bench(azurite) as on:
        await on.box.drop("a.dcm", made().content)
        file = await on.stores.dropped.find("a.dcm")
        assert file is not None
        await on.told("a.dcm")
        await on.stores.file_records.post(file, None)
        outcome = await on.box.outcome("a.dcm")
        assert outcome is not None
        assert outcome["status"] == FileStatus.STORED
