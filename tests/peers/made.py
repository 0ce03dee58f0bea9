"""What goes into a peer and what comes out of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.clients import ANY_PARTS, DICOM_JSON, related, related_type
from tests.support.files import sound_files

CHUNKED, PLAIN = "chunked", "plain"
_PAGE = 100
_SECONDS = 120.0
_LARGEST = 30 * 1024 * 1024


def files() -> Iterator[bytes]:
    """The real files, but for the largest."""
    return (path.read_bytes() for path in sound_files() if path.stat().st_size < _LARGEST)


def fill(root: str, contents: Iterable[bytes]) -> list[bytes]:
    """Store files, one a request, as one that is refused must not hold up the others; gives those that were taken."""
    with httpx.Client(timeout=_SECONDS, trust_env=False) as client:
        return [content for content in contents if _taken(client, root, content)]


def _taken(client: httpx.Client, root: str, content: bytes) -> bool:
    headers = {"Content-Type": related_type(), "Accept": DICOM_JSON}
    answer = client.post(f"{root}/studies", content=related([content]), headers=headers)
    assert answer.status_code < 500, answer.text
    return answer.status_code in (200, 202)


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """UIDs of an instance that a server lists."""

    study: str
    series: str
    instance: str

    @property
    def path(self) -> str:
        """Below the base."""
        return f"studies/{self.study}/series/{self.series}/instances/{self.instance}"


def asked(url: str, accept: str = DICOM_JSON) -> httpx.Response:
    """An answer to a GET."""
    return httpx.get(url, headers={"Accept": accept}, timeout=_SECONDS, trust_env=False)


def listed(root: str, path: str) -> list[dict[str, Any]]:
    """All matches of a search, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        answer = asked(f"{root}/{path}{'&' if '?' in path else '?'}limit={_PAGE}&offset={len(found)}")
        assert answer.status_code in (200, 204), (path, answer.status_code, answer.text)
        page = answer.json() if answer.status_code == 200 else []
        if not page:
            return found
        found += page


def held_by(root: str) -> list[Held]:
    """All instances that a server lists, in order of their UIDs."""
    tags = ("0020000D", "0020000E", "00080018")
    return sorted(Held(*(match[tag]["Value"][0] for tag in tags)) for match in listed(root, "instances"))


def bytes_of(root: str, held: Held) -> bytes:
    """An instance as it is stored."""
    answer = asked(f"{root}/{held.path}", ANY_PARTS)
    assert answer.status_code == 200, (held.path, answer.status_code, answer.text[:200])
    boundary = answer.headers["content-type"].partition("boundary=")[2].partition(";")[0].strip('"').encode()
    head, _, rest = answer.content.partition(b"\r\n\r\n")
    assert boundary in head
    content, end, _ = rest.rpartition(b"\r\n--" + boundary + b"--")
    assert end
    return content
