"""Store (STOW-RS, PS3.18 §10.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from shared.behaviours import MultipleValueNotice
from shared.errors import InvalidRequest, UnsupportedMediaType
from shared.storage.stores import Stores
from shared.stow.outcomes import Outcome
from shared.stow.report import dataset_of, status_of, warning_header
from shared.stow.rules import rules_of
from shared.stow.store import StoreRequest
from shared.wire.call import Call, Headers, Reply
from shared.wire.dicomjson import dumps
from shared.wire.media import ContentType, parse_content_type
from shared.wire.multipart import boundary_of, read_parts

_DICOM = "application/dicom"
_NOTICED = {MultipleValueNotice.ANY_SEARCHABLE: None, MultipleValueNotice.PATIENT_ID_ONLY: frozenset({"PatientID"})}


async def store_instances(call: Call, stores: Stores) -> Reply:
    """Store instances of any study."""
    return await _store(call, stores, None)


async def store_instances_in_study(call: Call, stores: Stores) -> Reply:
    """Store instances that belong to the study in the URL."""
    return await _store(call, stores, call.parameters["study_uid"])


async def _store(call: Call, stores: Stores, study_uid: str | None) -> Reply:
    entries = _entries(call)
    partition = await stores.partition_or_new(call.partition)
    async with stores.uploads.request(partition.number) as uploads:
        request = StoreRequest(stores, uploads, partition, rules_of(call.behaviours), study_uid)
        try:
            async for entry in entries:
                await request.take(entry)
            outcomes = await request.finish()
        finally:
            await request.close()
    return _reply(call, outcomes, study_uid)


def _reply(call: Call, outcomes: list[Outcome], study_uid: str | None) -> Reply:
    status = status_of(outcomes, call.behaviours.warned_store_status)
    stored = (one.identity for one in outcomes if one.identity is not None and one.failure is None)
    about = tuple(f"{one.study_uid}/{one.series_uid}/{one.sop_instance_uid}" for one in stored)
    if status == 204:
        return Reply(204)
    assert call.choice is not None, "the row offers representations"
    report = dataset_of(outcomes, call.service_root, study_uid, call.behaviours.stored_item_attributes)
    noticed = _NOTICED[call.behaviours.multiple_value_notice]
    warning = warning_header(outcomes, call.service_root, noticed)
    headers = () if warning is None else (("Warning", warning),)
    return Reply(status, dumps(report), call.choice.media_type, headers, about)


def _entries(call: Call) -> AsyncIterator[AsyncIterator[bytes]]:
    """The files of a request (contract C2.1), one after the other.

    Raises:
        UnsupportedMediaType: the body is of a type that is not read.
        InvalidRequest: it names a root part.
    """
    content_type = parse_content_type(call.headers.get("Content-Type"))
    if content_type.media_type == _DICOM:
        return _only(call.body)
    if content_type.media_type != "multipart/related":
        raise UnsupportedMediaType(f"A store takes multipart/related and {_DICOM}.")
    boundary = boundary_of(content_type)
    if "start" in content_type.parameters:
        raise InvalidRequest("The start parameter of multipart/related is not supported.")
    return _parts(call.body, boundary, content_type)


async def _only(body: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """The body as one entry; an empty body is no entry."""
    async for chunk in body:
        if chunk:
            yield _chained(chunk, body)
            break
    # Whoever refuses an entry early leaves its rest unread, and only there a body over the limit shows.
    async for _ in body:
        pass


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


async def _parts(
    body: AsyncIterator[bytes], boundary: str, content_type: ContentType
) -> AsyncIterator[AsyncIterator[bytes]]:
    default = content_type.parameters.get("type")
    async for part in read_parts(body, boundary):
        content: AsyncIterator[bytes] = part
        if not part.headers.starting(""):
            first = await anext(part, None)
            if first is None:
                continue  # .NET frames a body without any part like one with a part of nothing
            content = _chained(first, part)
        _check_part(part.headers, default)
        default = None  # the type parameter speaks of the root part only (RFC 2387 §3.1)
        yield content


def _check_part(headers: Headers, default: str | None) -> None:
    named = headers.get("Content-Type") or default
    if named is None:
        raise UnsupportedMediaType("A part has no Content-Type.")
    if parse_content_type(named).media_type != _DICOM:
        raise UnsupportedMediaType(f"A part is not {_DICOM}.")
