"""The service as commands of `dicom` call it: addresses, tries, and the version in use."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import httpx

from shared.dev.cli.options import Session
from shared.dev.cli.refusals import refusal, tls_fault, what_it_says
from shared.dev.cli.screen import Ended, Exit

_TIMEOUT = httpx.Timeout(300, connect=15, write=120, pool=None)
_HEAD_TIMEOUT = httpx.Timeout(2, connect=15)
_BUSY = (429, 502, 503, 504)
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_ASKED_SECONDS = 300.0

Body = Callable[[], AsyncIterable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request.

    Attributes:
        path: below the version, or below its data partition.
        takes: statuses that the caller understands; any other one ends the command.
        body: makes the body anew for every try.
        partitioned: whether the path is one of a data partition.
        repeatable: whether it may be sent again when nobody knows what became of it.
        streamed: whether the caller reads the body of an answer 200.
    """

    method: str = "GET"
    path: str
    takes: Collection[int] = (200,)
    params: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] | None = None
    json: Any = None
    body: Body | None = None
    partitioned: bool = False
    repeatable: bool = True
    streamed: bool = False


class _Again(Exception):
    """A try failed in a way that another one may not."""

    def __init__(self, why: str, wait_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.wait_seconds = wait_seconds


class Service:
    """An open connection; `opened` makes one."""

    def __init__(self, session: Session, client: httpx.AsyncClient) -> None:
        self.session = session
        self._client = client
        self._met = False
        self._told = False
        self._version = session.target.version
        self._asking = asyncio.Lock()

    async def version(self) -> str:
        """The label of the version in use: what was asked for, or the newest stable one."""
        async with self._asking:
            if not self._version:
                self._version = _current(await self.versions())
        return self._version

    async def versions(self) -> Any:
        """What the service says about its versions."""
        url = f"{self.session.target.url}/versions"
        ask = Ask(path="versions", takes=(200, 404), headers={"Accept": "application/json"})
        async with self._tried(ask, url) as answer:
            if answer.status_code == 404:
                raise Ended(f"{url} is not there. Is this the address of the service? --api-version does without.")
            return _json(answer)

    async def root(self, *, partitioned: bool = False) -> str:
        """What addresses begin with."""
        if self.session.target.is_base:
            partition = self.session.target.partition
            return f"{self.session.target.url}/partitions/{partition}" if partition else self.session.target.url
        root = f"{self.session.target.url}/{await self.version()}"
        partition = self.session.target.partition
        return f"{root}/partitions/{partition}" if partitioned and partition else root

    async def send(self, ask: Ask) -> httpx.Response:
        """The answer, read to its end."""
        async with self.streamed(ask) as answer:
            return answer

    @asynccontextmanager
    async def streamed(self, ask: Ask) -> AsyncIterator[httpx.Response]:
        """The answer, its body not read yet where the request says so.

        Raises:
            Ended: the service is not there, or refuses.
        """
        url = f"{await self.root(partitioned=ask.partitioned)}/{ask.path}"
        async with self._tried(ask, url) as answer:
            self._tell_end(answer)
            yield answer

    def read(self, answer: httpx.Response) -> Any:
        """What the JSON of an answer says; None when there is none."""
        return _json(answer) if answer.content else None

    @asynccontextmanager
    async def _tried(self, ask: Ask, url: str) -> AsyncIterator[httpx.Response]:
        answer = await self._try_all(ask, url)
        try:
            if answer.status_code not in ask.takes:
                raise refusal(answer, self._version, has_token=bool(self.session.target.token))
            yield answer
        finally:
            await answer.aclose()

    async def would_refuse(self, ask: Ask) -> bool:
        """Whether the service refuses a request as too long (413) by its head alone.

        One that answers so closes the connection, and its answer is lost to a client that is still sending.
        """
        url = f"{await self.root(partitioned=ask.partitioned)}/{ask.path}"
        request = self._client.build_request(
            ask.method, url, headers=ask.headers, content=_nothing(), timeout=_HEAD_TIMEOUT
        )
        try:
            return (await self._client.send(request)).status_code == 413
        except httpx.TransportError:
            return False  # It waits for the body, or is not there: sending all will tell.

    async def _try_all(self, ask: Ask, url: str) -> httpx.Response:
        tries = self.session.target.tries
        for number in range(1, tries + 1):
            try:
                return await self._try(ask, url)
            except _Again as error:
                if number == tries:
                    raise Ended(f"{error} Tried {tries} times.", Exit.UNREACHABLE) from error
                pause = min(_FIRST_PAUSE_SECONDS * 2 ** (number - 1), _LONGEST_PAUSE_SECONDS)
                # Others that wait for the same end of a fault should not all come at once.
                pause *= random.uniform(0.7, 1.3)  # noqa: S311 - only to spread requests
                pause = max(pause, error.wait_seconds)
                if self.session.screen.verbose:
                    self.session.screen.note(f"{error} Next try in {pause:.1f} s.")
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _try(self, ask: Ask, url: str) -> httpx.Response:
        request = self._client.build_request(
            ask.method,
            url,
            params=[*ask.params],
            headers=ask.headers,
            json=ask.json,
            content=ask.body() if ask.body else None,
        )
        try:
            answer = await self._client.send(request, stream=True)
            self._met = True
            if answer.status_code != 200 or not ask.streamed:
                await answer.aread()
                await answer.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._not_there(error) from error
        except httpx.TransportError as error:
            lost = f"The connection to {self.session.target.url} was lost."
            if ask.repeatable:
                raise _Again(lost) from error
            raise Ended(f"{lost} It is not known whether the request was taken.", Exit.UNREACHABLE) from error
        if answer.status_code in _BUSY and answer.status_code not in ask.takes:
            raise _Again(f"The service is busy ({answer.status_code}){what_it_says(answer)}.", pause_of(answer, 0.0))
        return answer

    def _not_there(self, error: httpx.TransportError) -> Exception:
        url = self.session.target.url
        fault = tls_fault(error)
        if fault:
            text = f"No secure connection to {url}: {fault}. --ca-file names the authority that signed its certificate."
            return Ended(text, Exit.UNREACHABLE)
        if self._met:
            return _Again(f"Nobody answers at {url} any more.")
        start = " `make run` starts one." if self.session.target.is_local else ""
        return Ended(
            f"Nobody answers at {url}. Is the service running?{start} --url names another one.", Exit.UNREACHABLE
        )

    def _tell_end(self, answer: httpx.Response) -> None:
        if self._told or "deprecation" not in answer.headers:
            return
        self._told = True
        day = answer.headers.get("sunset", "")
        until = f" and may be gone after {day}" if day else ""
        self.session.screen.note(f"Version {self._version} is deprecated{until}; `dicom versions` names its successor.")


@asynccontextmanager
async def opened(session: Session) -> AsyncIterator[Service]:
    """The service, for the length of a block."""
    target = session.target
    headers = {"User-Agent": "dicom-command"}
    if target.token:
        # A token has no spaces (RFC 6750 §2.1); what has one names its scheme itself, such as `Basic …`.
        headers["Authorization"] = target.token if " " in target.token else f"Bearer {target.token}"
    async with httpx.AsyncClient(
        headers=headers,
        timeout=_TIMEOUT,
        # Making the list of authorities takes longer than most requests to this machine.
        verify=target.trust or not (target.is_local and target.url.startswith("http:")),
        follow_redirects=False,
        # A proxy of the surroundings has nothing to do with this machine.
        trust_env=not target.is_local,
    ) as client:
        yield Service(session, client)


async def _nothing() -> AsyncIterator[bytes]:
    # What a transport does when it cannot write any more is to read what the service has to say.
    raise httpcore.WriteError
    yield b""


def _current(listed: Any) -> str:
    current = listed.get("current") if isinstance(listed, dict) else None
    if not isinstance(current, str):
        raise Ended("The service has no stable version; --api-version names one, `dicom versions` lists them.")
    return current


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise Ended(f"The answer of {answer.url.path} is not JSON. Is --url the address of the service?") from error


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the service asks to wait (RFC 9110 §10.2.3); None when it says nothing."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), _LONGEST_ASKED_SECONDS)


def pause_of(answer: httpx.Response, default_seconds: float) -> float:
    """How long to wait before asking again."""
    asked = _retry_after(answer)
    return default_seconds if asked is None else asked
