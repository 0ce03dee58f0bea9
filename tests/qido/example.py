"""One example of the model test: requests to a service and the same steps in the model, compared after each."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pydicom

from tests.qido.model import Event, File, Members, Model, in_order
from tests.qido.tables import INSTANCE, LEVELS, MODALITIES, SERIES, STUDY, Question
from tests.support.clients import (
    ANY_PARTS,
    DICOM_JSON,
    VERSIONS,
    email_parts,
    failed_items,
    related,
    related_type,
    stored_items,
)
from tests.support.files import synthetic_instance
from tests.support.front import Answer, Front
from tests.support.versions import behaves, is_by_time

ALREADY_EXISTS, INVALID, ODD = 45070, 43264, 1
SERIES_MODALITIES = ("CT", "MR", "SR")

# What instances say. They disagree on purpose, leave attributes out, and the last one has a date that is none.
LOOKS: tuple[dict[str, Any], ...] = (
    {
        "PatientName": "M\u00fcller^\u00c4nne", "PatientID": "P1", "StudyDate": "20240101", "AccessionNumber": "A-1",
        "StudyDescription": "Head", "SeriesDescription": "one", "ManufacturerModelName": "Alpha",
        "PerformedProcedureStepStartDate": "20240101", "BodyPartExamined": "HEAD",
    },
    {
        "PatientName": "Muller^Anna Maria", "PatientID": "P2", "StudyDate": "20240215", "AccessionNumber": None,
        "StudyDescription": None, "SeriesDescription": "two", "PatientSex": "F", "ManufacturerModelName": "Beta",
    },
    {
        "PatientName": "Doe^John", "PatientID": "p1", "StudyDate": None, "AccessionNumber": "a-1", "StudyID": "S3",
        "ReferringPhysicianName": "Other^One", "SeriesNumber": 3, "BodyPartExamined": "CHEST",
    },
    {"PatientName": "Doe^Jane", "PatientID": "P3", "PatientBirthDate": "19991399", "StudyDate": "20231231"},
)  # fmt: skip
WRONG = len(LOOKS) - 1

VALUES = {
    "StudyInstanceUID": ("1.2.0", "1.2.1,1.2.2", "1.2.9"),
    "PatientName": ("muller^anne", "Doe^John", "Nobody"),
    "PatientID": ("P1", "p2 ", "P3"),
    "PatientBirthDate": ("19700101", "19690101-19700101", "20200101-"),
    "AccessionNumber": ("A-1", "none"),
    "ReferringPhysicianName": ("referring^doctor", "Other^One"),
    "StudyDate": ("20240101", "20240101-20240215", "-20240101", "20240102-", "19000101"),
    "StudyDescription": ("HEAD", "Synthetic study"),
    "ModalitiesInStudy": ("CT", "sr,mr", "XA"),
    "SeriesInstanceUID": ("1.3.0.1", "1.3.1.0,1.3.2.2"),
    "Modality": ("mr", "CT,SR", "XA"),
    "PerformedProcedureStepStartDate": ("20240101", "20240102-"),
    "ManufacturerModelName": ("alpha", "Beta", "Gamma"),
    "StudyID": ("s3", "none"),
    "SeriesNumber": ("3", "1"),
    "BodyPartExamined": ("head", "Chest"),
    "PatientSex": ("f", "M"),
    "SOPInstanceUID": ("1.4.0.0.0", "1.4.1.1.0,1.4.0.1.1,1.4.2.0.0"),
}
BEGINNINGS = ("mul an", "muller", "doe j", "anna mar", "ohn")
# Tags, some by keyword: of each level, computed ones, and some that nobody keeps for studies and series.
FIELDS = {
    "00081030": "00081030", "ModalitiesInStudy": MODALITIES, "NumberOfStudyRelatedInstances": "00201208",
    "NumberOfSeriesRelatedInstances": "00201209", "00081090": "00081090", "PatientSex": "00100040",
    "SeriesDescription": "0008103E", "00280010": "00280010", "00400244": "00400244", "PatientAge": "00101010",
    "StudyID": "00200010", "BodyPartExamined": "00180015",
}  # fmt: skip

Told = tuple[str, str, str, str, str, str]


@lru_cache(maxsize=200)
def file(study: int, series: int, instance: int, look: int) -> File:
    uids = (f"1.2.{study}", f"1.3.{study}.{series}", f"1.4.{study}.{series}.{instance}")
    names = ("study_uid", "series_uid", "sop_instance_uid")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of the date that is none
        content = synthetic_instance(
            **dict(zip(names, uids, strict=True)), columns=2, modality=SERIES_MODALITIES[series], extra=LOOKS[look]
        )
        metadata = pydicom.dcmread(BytesIO(content), stop_before_pixels=True).to_json_dict()
    if look == WRONG:
        del metadata["00100030"]
    return File(*uids, content, metadata)


def lenient(version: str) -> bool:
    """Whether a version stores an instance with a searchable value that breaks its rule."""
    return behaves(version, invalid_searchable_value="warn")


@dataclass
class Example:
    """A service with a data partition of the example's own, and the model of what is in it."""

    front: Front
    partition: str
    model: Model
    before: Members | None

    def root(self, version: str) -> str:
        return f"/{version}/partitions/{self.partition}"

    async def store(self, version: str, study: int, entries: list[tuple[int, int, int]], named: bool) -> None:
        files = [file(study, *entry) for entry in entries]
        expected = [self.reason(version, one, look) for one, (_, _, look) in zip(files, entries, strict=True)]
        path = f"{self.root(version)}/studies" + (f"/{files[0].study_uid}" if named else "")
        body = related([one.content for one in files])
        answer = await self.front.ask("POST", path, body, Content_Type=related_type(), Accept=DICOM_JSON)
        failed = {one.sop_uid: reason for one, reason in zip(files, expected, strict=True) if reason > ODD}
        stored = {one.sop_uid: reason for one, reason in zip(files, expected, strict=True) if reason <= ODD}
        status = 409 if not stored else 202 if failed or ODD in stored.values() else 200
        report = answer.json()
        assert answer.status == status, report
        assert reasons(failed_items(report), "00081197") == failed
        assert reasons(stored_items(report), "00081196") == stored
        self.model.store([one for one in files if one.sop_uid in stored])

    def reason(self, version: str, one: File, look: int) -> int:
        """Why an instance is refused, or 1 when it is stored with a warning, or 0."""
        if look == WRONG and not lenient(version):
            return INVALID
        if self.model.has(one.study_uid, one.series_uid, one.sop_uid):
            return ALREADY_EXISTS
        return ODD if look == WRONG else 0

    def uids(self, choice: int) -> tuple[str, str, str]:
        """Some instance that is there; with 0, or when there is none, one that may not be."""
        there = sorted(
            (study.uid, series.uid, sop_uid)
            for study in self.model.studies.values()
            for series in study.series.values()
            for sop_uid in series.held
        )
        return there[choice % len(there)] if choice and there else ("1.2.0", "1.3.0.1", "1.4.0.1.0")

    async def delete(self, version: str, depth: int, choice: int) -> None:
        uids = self.uids(choice)[: depth + 1]
        answer = await self.front.ask("DELETE", self.root(version) + path_of(uids))
        assert answer.status == (204 if self.model.delete(*uids) else 404)

    async def search(self, version: str, asked: Question, limit: int) -> None:
        answer = await self.found(version, asked, limit=200)
        if not asked.allowed:
            assert answer.status == 400
            return
        items = answer.json() if answer.content else []
        assert answer.status == (200 if items else 204), answer.content
        expected = in_order(self.model.search(version, asked), items)
        assert [ordered(item) for item in items] == [ordered(item) for item in expected]
        for offset in range(0, len(items) + 1, limit):
            answer = await self.found(version, asked, limit=limit, offset=offset)
            page = items[offset : offset + limit]
            assert answer.status == (200 if page else 204)
            assert (answer.json() if page else []) == page

    async def found(self, version: str, asked: Question, **paging: int) -> Answer:
        pairs = [*asked.filters, *(("includefield", name) for name in fields_of(asked)), *paging.items()]
        if asked.all_fields:
            pairs.append(("includefield", "all"))
        if asked.fuzzy:
            pairs.append(("fuzzymatching", "true"))
        plural = {STUDY: "studies", SERIES: "series", INSTANCE: "instances"}[asked.level]
        path = f"{path_of(asked.within)}/{plural}" if asked.within else f"/{plural}"
        return await self.front.ask("GET", f"{self.root(version)}{path}?{urlencode(pairs)}", Accept=DICOM_JSON)

    async def settled(self) -> None:
        """At the end: the default searches of every version, what is retrieved, and the feed."""
        for version, level in itertools.product(VERSIONS, LEVELS):
            await self.search(version, Question(level), 2)
        for number in range(3):
            uid = f"1.2.{number}"
            answer = await self.front.ask("GET", f"{self.root('v2')}/studies/{uid}", Accept=ANY_PARTS)
            held = self.model.studies[uid].held.values() if self.model.has(uid) else []
            assert answer.status == (200 if held else 404)
            parts = email_parts(answer.headers["content-type"], answer.content) if held else []
            assert sorted(part.content for part in parts) == sorted(one.content for _, one in held)
        for version in VERSIONS:
            await self.feed_agrees(version)

    async def feed_agrees(self, version: str) -> None:
        """The feed tells of every change in order, and what has become of its instance."""
        entries = [entry async for entry in self.feed(version)]
        assert [entry["sequence"] for entry in entries] == [self.base + n + 1 for n in range(len(entries))]
        assert all(entry["partitionName"] == self.partition for entry in entries)
        seen, expected = [told(entry) for entry in entries], [self.told(event) for event in self.model.events]
        assert len(seen) == len(expected)
        start = 0
        for _, group in itertools.groupby(self.model.events, lambda event: event.step):
            end = start + len(list(group))  # what one request changed comes in any order
            assert sorted(seen[start:end]) == sorted(expected[start:end])
            start = end

    @property
    def base(self) -> int:
        return self.before["sequence"] if self.before else 0

    async def feed(self, version: str) -> AsyncIterator[Members]:
        """Entries behind those of earlier examples, page by page."""
        limit = 7
        for page in itertools.count():
            pairs: dict[str, Any] = {"offset": self.base + page * limit, "limit": limit}
            if is_by_time(version):
                pairs["offset"] = page * limit + bool(self.before)
                pairs |= {"startTime": self.before["timestamp"]} if self.before else {}
            answer = await self.front.ask("GET", f"/{version}/changefeed?{urlencode(pairs)}")
            assert answer.status == 200
            for entry in answer.json():
                yield entry
            if len(answer.json()) < limit:
                return

    def told(self, event: Event) -> Told:
        """An event as the feed tells of it."""
        name = ""
        if self.model.has(*event.uids):
            study_uid, series_uid, sop_uid = event.uids
            _, held = self.model.studies[study_uid].series[series_uid].held[sop_uid]
            name = held.metadata["00100010"]["Value"][0]["Alphabetic"]
        return (*event.uids, event.action, self.model.state(event), name)


def told(entry: Members) -> Told:
    """What the feed tells: UIDs, action, state, and from the metadata the name of the patient."""
    uids = (entry["studyInstanceUid"], entry["seriesInstanceUid"], entry["sopInstanceUid"])
    name = entry["metadata"]["00100010"]["Value"][0]["Alphabetic"] if "metadata" in entry else ""
    return (*uids, entry["action"], entry["state"], name)


def reasons(items: Sequence[Members], tag: str) -> dict[str, int]:
    """Of items of a report: SOPInstanceUID, and the reason that it gives, 0 for none."""
    return {item["00081155"]["Value"][0]: item.get(tag, {}).get("Value", [0])[0] for item in items}


def path_of(uids: Sequence[str]) -> str:
    words = ("studies", "series", "instances")
    return "".join(f"/{word}/{uid}" for word, uid in zip(words, uids, strict=False))


def fields_of(asked: Question) -> list[str]:
    return [name for name, tag in FIELDS.items() if tag in asked.included]


def ordered(item: Members) -> Members:
    """An item without what has no order: the modalities of a study."""
    if MODALITIES not in item:
        return item
    return {**item, MODALITIES: {**item[MODALITIES], "Value": sorted(item[MODALITIES]["Value"])}}
