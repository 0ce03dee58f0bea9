"""Stores beside extended query tags: what becomes of instances whose values a tag refuses (contract C2.2, C9)."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pydicom
import pytest

from tests.querytags.made import another_worker, file, service, tag
from tests.support.clients import failed_items, stored_items

pytestmark = pytest.mark.azurite

TAGS = (tag("PatientAge", "Study"), tag("StudyTime", "Series"))
INVALID, ODD = 43264, 1


def wrong(sop: str = "1.4.1") -> bytes:
    return file("1.2.1", "1.3.1", sop, PatientAge="1Y", StudyTime="2500")


def texts(item: dict[str, Any]) -> list[str]:
    return [one["00000902"]["Value"][0] for one in item["00741048"]["Value"]]


@pytest.mark.parametrize("known", [True, False], ids=["known", "come meanwhile"])
async def test_invalid_values_fail_an_instance_where_a_version_is_strict(azurite, known):
    async with service(azurite.connection_string) as one, another_worker(one) as other:
        await other.stores.tags.load()
        await one.add(*TAGS)
        worker = one if known else other
        report = (await worker.store(wrong(), version="v1", status=409)).json()
        (item,) = failed_items(report)
        assert item["00081197"]["Value"] == [INVALID]
        assert [text.split(" - ")[0] for text in texts(item)] == ["DICOM100: (0008,0030)", "DICOM100: (0010,1010)"]
        assert await one.found("instances") == []
        await one.store(file("1.2.1", "1.3.1", "1.4.2", PatientAge="001Y"), version="v1")
        assert await one.found("studies", PatientAge="001Y") == ["1.2.1"]


@pytest.mark.parametrize("known", [True, False], ids=["known", "come meanwhile"])
async def test_invalid_values_are_warned_of_and_left_out_where_a_version_is_lenient(azurite, known):
    async with service(azurite.connection_string) as one, another_worker(one) as other:
        await other.stores.tags.load()
        await one.add(*TAGS)
        worker = one if known else other
        report = (await worker.store(wrong(), status=202)).json()
        (item,) = stored_items(report)
        assert item["00081196"]["Value"] == [ODD]
        assert len(texts(item)) >= 2
        answer = await one.ask(
            "GET", "/studies/1.2.1/series/1.3.1/instances/1.4.1/metadata", Accept="application/dicom+json"
        )
        assert not {"00101010", "00080030"} & answer.json()[0].keys()
        assert await one.found("studies", PatientAge="1Y") == []
        # What a store leaves out is no error of the tag.
        assert "errors" not in await one.tag("PatientAge")


async def test_a_value_of_another_vr_than_the_tag_has_is_refused_where_a_version_is_strict(azurite):
    dataset = pydicom.dcmread(BytesIO(file("1.2.1", "1.3.1", "1.4.1")))
    dataset.private_block(0x0009, "ACME", create=True).add_new(0x01, "SH", "word")
    out = BytesIO()
    dataset.save_as(out)
    async with service(azurite.connection_string) as one:
        await one.add(tag("00091101", "Study", "LO", "ACME"))
        report = (await one.store(out.getvalue(), version="v1", status=409)).json()
        assert "(0009,1001)" in texts(failed_items(report)[0])[0]


async def test_several_values_of_a_tag_are_noticed_and_the_first_one_is_found(azurite):
    async with service(azurite.connection_string) as one:
        await one.add(tag("OperatorsName", "Series"), tag("SelectorUSValue", "Series"))
        said = {"OperatorsName": ["One", "Two"], "SelectorUSValue": [7, 0x5C5C]}
        answer = await one.store(file("1.2.1", "1.3.1", "1.4.1", **said), version="v1")
        assert "OperatorsName, SelectorUSValue" in answer.headers["warning"]
        assert await one.found("series", OperatorsName="one", SelectorUSValue="7") == ["1.3.1"]
        assert await one.found("series", OperatorsName="two") == []
        alone = await one.store(file("1.2.1", "1.3.1", "1.4.2", SelectorUSValue=0x5C5C), version="v1")
        assert "warning" not in alone.headers


async def test_values_padded_with_nul_are_found_without_it(azurite):
    def padded(sop: str) -> bytes:
        content = file("1.2.1", "1.3.1", sop, PatientSex="F ")
        place = content.index(b"\x10\x00\x40\x00CS") + 8
        return content[:place] + b"F\0" + content[place + 2 :]

    async with service(azurite.connection_string, [padded("1.4.1")]) as one:
        await one.add(tag("PatientSex", "Instance"))
        await one.store(padded("1.4.2"))
        assert sorted(await one.found("instances", PatientSex="F")) == ["1.4.1", "1.4.2"]
        await one.store(padded("1.4.3"), version="v1", status=409)
