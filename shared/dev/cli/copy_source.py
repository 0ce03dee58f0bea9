"""Where `dicom copy` copies from: any DICOMweb server, with what servers do differently."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from shared.dev.cli.client import Ask, Service
from shared.dev.cli.files import Found, PassedOver, look
from shared.dev.cli.get import Instance
from shared.dev.cli.screen import Ended, Exit
from shared.dev.cli.search import INSTANCE_UID, PAGE, SERIES_UID, STUDY_UID, first
from shared.wire.media import parse_content_type
from shared.wire.multipart import boundary_of, read_parts

_CHUNK_BYTES = 1 << 18
_UID = re.compile(r"[0-9.]*[0-9][0-9.]*")
_UID_CHARACTERS = 64

# As stored first (PS3.18 §8.7.3.5.2). Servers that do not know the parameter may transcode what they give.
AS_STORED = ('multipart/related; type="application/dicom"; transfer-syntax=*', "application/dicom; transfer-syntax=*")
AS_GIVEN = ('multipart/related; type="application/dicom"', "application/dicom")
_REFUSALS = (400, 406, 415, 501)
_UNDERSTOOD = (200, 204, 404, 410, 500, *_REFUSALS)
_END_OF_PAGES = (200, 204, 400, 404, 416)
_REFUSED_IN_A_ROW = 3
_STALE_PAGES = 3

TOKEN = "DICOM_SOURCE_TOKEN"  # noqa: S105 - the name of a variable, not a token

Chunks = AsyncIterator[bytes]


class NotGiven(Exception):
    """The source does not give what it lists."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the source lists it, and does not give it ({status})")
        self.status = status


@contextmanager
def of_source() -> Iterator[None]:
    """Faults of the source say that it is the source, and name its options."""
    try:
        yield
    except Ended as error:
        text = str(error).replace("--token, or set DICOM_TOKEN", f"--source-token, or set {TOKEN}")
        raise Ended(f"At the source: {text.replace('--url', 'SOURCE-URL')}", error.code) from error


@dataclass(frozen=True, slots=True)
class Listing:
    """What a search of the source has found.

    Attributes:
        found: values of the tags that were asked for, each match once.
        cut: whether there may be more that the source does not give.
    """

    found: Sequence[tuple[str, ...]]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Instances:
    """The instances of a study; `cut` as for a listing."""

    found: Sequence[Instance]
    cut: bool = False


def is_uid(text: str) -> bool:
    """Whether a text can be part of an address as a UID."""
    return len(text) <= _UID_CHARACTERS and _UID.fullmatch(text) is not None


async def listing(service: Service, ask: Ask, tags: Sequence[str]) -> Listing:
    """All matches, page by page, from servers that cap, repeat or do not know pages.

    A page that is shorter than asked is not the last one, because servers have limits of their own. The last one is
    empty, or refused, or the first one again: then the server does not know `offset`.
    """
    found: dict[tuple[str, ...], None] = {}
    opening: set[tuple[str, ...]] = set()
    cut, offset, stale = False, 0, 0
    while True:
        params = [*ask.params, ("limit", str(PAGE)), ("offset", str(offset))]
        takes = {*ask.takes, *(_END_OF_PAGES if offset else ())}
        answer = await service.send(replace(ask, params=params, takes=takes))
        matches = _matches(service, answer)
        page = {tuple(first(match, tag) for tag in tags) for match in matches}
        if not offset:
            opening, cut = page, _says_more(answer) or len(matches) == PAGE
        if offset and (answer.status_code in (400, 416) or (page and page == opening)):
            return Listing([*found], cut)
        if not page:
            return Listing([*found])
        # What is stored meanwhile moves the others back, so a page may bring nothing new; but not for ever.
        stale = 0 if page - found.keys() else stale + 1
        if stale == _STALE_PAGES:
            return Listing([*found], cut=True)
        found.update(dict.fromkeys(sorted(page)))
        offset += len(matches)


def _matches(service: Service, answer: httpx.Response) -> list[dict[str, object]]:
    content = service.read(answer) if answer.status_code == 200 else None
    if not isinstance(content, list | None):
        raise Ended("The answer to a search is no DICOM JSON. Is this the base address of a DICOMweb server?")
    return [match for match in content or [] if isinstance(match, dict)]


def _says_more(answer: httpx.Response) -> bool:
    """Whether there are more matches than were given (PS3.18 §8.3.4.4)."""
    return "additional results" in answer.headers.get("warning", "")


async def instances(service: Service, study_uid: str, also_takes: Collection[int] = ()) -> Instances:
    """The instances of a study, as far as the service lists them."""
    ask = Ask(
        path=f"studies/{study_uid}/instances",
        takes={200, 204, 404, *also_takes},
        headers={"Accept": "application/dicom+json"},
        partitioned=True,
    )
    listed = await listing(service, ask, (SERIES_UID, INSTANCE_UID))
    if not all(is_uid(uid) for uids in listed.found for uid in uids):
        raise Ended("an instance without usable UIDs is listed")
    return Instances([Instance(study_uid, *uids) for uids in listed.found], listed.cut)


class Source:
    """A server to copy from.

    Args:
        service: an open connection to its base.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._form = AS_STORED[0]
        self._refused_in_a_row = 0

    @property
    def gives_many(self) -> bool:
        """Whether it is worth asking for several instances at once."""
        return self._refused_in_a_row < _REFUSED_IN_A_ROW

    async def studies(self, keys: Sequence[tuple[str, str]]) -> Listing:
        """UIDs of the studies that match."""
        ask = Ask(
            path="studies",
            takes=(200, 204),
            params=keys,
            headers={"Accept": "application/dicom+json"},
            partitioned=True,
        )
        try:
            with of_source():
                return await listing(self.service, ask, (STUDY_UID,))
        except Ended as error:
            if error.code is not Exit.REFUSED:
                raise
            raise Ended(f"{error} SOURCE-URL is what addresses of studies begin with, such as …/v2.") from error

    async def instances(self, study_uid: str) -> Instances:
        """The instances of a study, as far as they are listed."""
        with of_source():
            return await instances(self.service, study_uid)

    @asynccontextmanager
    async def many(self, path: str) -> AsyncIterator[AsyncIterator[Chunks]]:
        """All instances of a study or a series, as they are stored.

        Raises:
            NotGiven: the source gives instances one by one only, or not at all.
        """
        async with self._asked(path, AS_STORED[0]) as answer:
            refused = answer.status_code in _REFUSALS
            self._refused_in_a_row = self._refused_in_a_row + 1 if refused else 0
            if answer.status_code != 200:
                raise NotGiven(answer.status_code)
            yield contents(answer)

    @asynccontextmanager
    async def one(self, path: str) -> AsyncIterator[AsyncIterator[Chunks]]:
        """One instance, as it is stored if the source knows how to give that.

        Raises:
            NotGiven: in none of the forms that servers know.
        """
        status = 0
        for form in dict.fromkeys((self._form, *AS_STORED, *AS_GIVEN)):
            async with self._asked(path, form) as answer:
                if answer.status_code == 200:
                    self._remember(form)
                    yield contents(answer)
                    return
                status = answer.status_code
            if status not in _REFUSALS:
                break
        raise NotGiven(status)

    def _remember(self, form: str) -> None:
        if form in AS_GIVEN and self._form in AS_STORED:
            text = "The source refuses transfer-syntax=*; what it gives may be in another syntax than it has stored."
            self.service.session.screen.note(text)
        self._form = form

    @asynccontextmanager
    async def _asked(self, path: str, accept: str) -> AsyncIterator[httpx.Response]:
        ask = Ask(path=path, takes=_UNDERSTOOD, headers={"Accept": accept}, partitioned=True, streamed=True)
        async with AsyncExitStack() as stack:
            # Whoever reads sends meanwhile, and what goes wrong there is none of the source's faults.
            with of_source():
                answer = await stack.enter_async_context(self.service.streamed(ask))
            yield answer


async def contents(answer: httpx.Response) -> AsyncIterator[Chunks]:
    """The files in an answer, as parts or alone; each has to be read before the next one.

    Raises:
        DicomWebError: the answer is malformed, or ends early.
    """
    kind = parse_content_type(answer.headers.get("content-type"))
    chunks = answer.aiter_bytes(_CHUNK_BYTES)
    if not kind.media_type.startswith("multipart/"):
        yield chunks
        return
    async for part in read_parts(chunks, boundary_of(kind)):
        yield part


async def spooled(chunks: Chunks, path: Path) -> Found | PassedOver:
    """Write an instance into a file, where it stays until it is sent: so memory does not grow with it.

    Raises:
        Ended: there is no room.
    """
    try:
        with await asyncio.to_thread(path.open, "xb") as file:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Ended(f"What is under way cannot be kept in {path.parent}: {why}. TMPDIR names another place.") from error
    return await asyncio.to_thread(look, path)
