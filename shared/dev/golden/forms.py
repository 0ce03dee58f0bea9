"""Replies in the form in which they are recorded: what must vary has a placeholder, long bytes are a digest."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pydicom
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000TransferSyntaxes

from shared.dev.contract.remarks import GateError

# The second form is DICOM's (VR DT).
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?(?=(?:Z|[+-]\d\d:\d\d)(?!\d)|$)"
    r"|(?<!\d)\d{14}\.\d{6}(?=[+-]\d{4}(?!\d))"
)
_OPERATION = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])")
_PLACEHOLDER = re.compile(r"<(?:time|etag|operation|storage|destination)-\d+>")
_ETAG_VALUE = re.compile(r'[^"]+(?="?$)')
_BOUNDARY = re.compile(r'boundary=(?:"([^"]*)"|([^;\s]+))')
_VERSION_LISTS = ("api-supported-versions", "api-deprecated-versions")
_EITHER_LIST = " or ".join(_VERSION_LISTS)
_VERSION_LIST = re.compile(r"\d[\w.-]*(?:, \d[\w.-]*)*")
# Of the connection, not of the contract; and the end of a version, which the gate judges by its file.
_UNRECORDED = frozenset(
    {
        "date",
        "server",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "deprecation",
        "sunset",
        "link",
    }
)
_FAREWELL = re.compile(r'299 - "Version \S+ is deprecated ')
_DIGEST_DIGITS = 16
# Documents are compared by their own rules.
_ELSEWHERE = "as in versions/baselines"


@dataclass(frozen=True, slots=True)
class RawReply:
    """What came over the wire; names of headers in the spelling they came in."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Placeholders:
    """Values that differ from run to run, by the order in which they were first seen: the same one keeps its number.

    Args:
        known: values that are there from the start, by kind; a storage address is named wherever it stands in a reply.
    """

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self._storage = (known or {}).get("storage", "")
        for kind, value in (known or {}).items():
            self.name(kind, value)

    def name(self, kind: str, value: str) -> str:
        """The placeholder of a value."""
        number = 1 + sum(known == kind for known, _ in self._names)
        return self._names.setdefault((kind, value), f"<{kind}-{number}>")

    def in_text(self, text: str) -> str:
        """A text of a reply; its times, ids of operations and addresses in storage are named."""
        if self._storage:
            text = text.replace(self._storage, self.name("storage", self._storage))
        text = _OPERATION.sub(lambda found: self.name("operation", found[0]), text)
        return _TIME.sub(lambda found: self.name("time", found[0]), text)

    def filled(self, text: str, write: Callable[[str], str] = str) -> str:
        """A text of a request with the values that its placeholders were seen to stand for.

        Raises:
            GateError: nothing was seen for one of them.
        """
        values = {name: value for (_, value), name in self._names.items()}

        def value(found: re.Match[str]) -> str:
            if found[0] not in values:
                raise GateError(f"no earlier reply has {found[0]}")
            return write(values[found[0]])

        return _PLACEHOLDER.sub(value, text)

    def filled_path(self, text: str) -> str:
        """As `filled`, percent-encoded."""
        return self.filled(text, lambda value: quote(value, safe=""))


def form_of(reply: RawReply, placeholders: Placeholders) -> dict[str, Any]:
    """A reply as it is recorded: status, headers by name, and the body in one of several forms."""
    media_type = next((value for name, value in reply.headers if name.lower() == "content-type"), "")
    packed = any((name.lower(), value) == ("content-encoding", "gzip") for name, value in reply.headers)
    form: dict[str, Any] = {"status": reply.status, "headers": _headers(reply.headers, placeholders)}
    return form | _body(media_type, gzip.decompress(reply.body) if packed else reply.body, placeholders)


def _headers(lines: Iterable[tuple[str, str]], placeholders: Placeholders) -> dict[str, Any]:
    kept: dict[str, list[str]] = {}
    for name, value in sorted(lines, key=lambda line: line[0].lower()):
        if name.lower() in _VERSION_LISTS:
            # Which versions are in which of the two changes with every version that comes or goes.
            kept[_EITHER_LIST] = [_VERSION_LIST.sub("<versions>", value)]
        elif name.lower() not in _UNRECORDED and not _FAREWELL.match(value):
            kept.setdefault(name, []).append(_header(name.lower(), value, placeholders))
    return {name: values[0] if len(values) == 1 else values for name, values in kept.items()}


def _header(name: str, value: str, placeholders: Placeholders) -> str:
    if name == "etag":
        return _ETAG_VALUE.sub(lambda found: placeholders.name("etag", found[0]), value)
    if name == "content-type":
        return _BOUNDARY.sub(lambda found: found[0].replace(found[1] or found[2], "<boundary>"), value)
    return placeholders.in_text(value)


def _body(media_type: str, body: bytes, placeholders: Placeholders) -> dict[str, Any]:
    if not body:
        return {}
    kind = media_type.partition(";")[0].strip().lower()
    if kind in ("application/json", "application/dicom+json"):
        return _json(body, placeholders)
    if kind.startswith("multipart/"):
        return _multipart(media_type, body)
    if kind == "text/yaml":
        return {"document": _ELSEWHERE}
    if kind.startswith("text/"):
        return {"text": placeholders.in_text(body.decode("utf-8", "backslashreplace"))}
    return {"content": content_of(kind, body)}


def _json(body: bytes, placeholders: Placeholders) -> dict[str, Any]:
    try:
        value = json.loads(body, object_pairs_hook=_members)
    except ValueError as error:
        return {"no json": str(error), "content": content_of("", body)}
    if isinstance(value, dict) and "openapi" in value:
        return {"document": _ELSEWHERE}
    return {"json": _named(value, placeholders)}


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name is there twice in one object")
    return members


def _named(value: Any, placeholders: Placeholders) -> Any:
    if isinstance(value, dict):
        return {name: _named(member, placeholders) for name, member in value.items()}
    if isinstance(value, list):
        return [_named(item, placeholders) for item in value]
    return placeholders.in_text(value) if isinstance(value, str) else value


def _multipart(media_type: str, body: bytes) -> dict[str, Any]:
    """Parts with their heads line by line; where the framing is not the plain one, that is recorded as well."""
    found = _BOUNDARY.search(media_type)
    boundary = (found[1] or found[2]).encode() if found else b""
    before, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary)
    closing = parts.pop() if parts else b""
    form: dict[str, Any] = {"parts": [_part(part) for part in parts]}
    if (before, closing) != (b"", b"--\r\n") or not boundary:
        form["framing"] = [before.decode("latin-1"), closing.decode("latin-1")]
    return form


def _part(part: bytes) -> dict[str, Any]:
    head, blank, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not part.startswith(b"\r\n") or not blank:
        return {"no part": content_of("", part)}
    lines = head.decode("latin-1").split("\r\n")
    kinds = [line.partition(":")[2] for line in lines if line.lower().startswith("content-type:")]
    kind = kinds[0].partition(";")[0].strip().lower() if kinds else ""
    return {"head": lines, "content": content_of(kind, content)}


def content_of(kind: str, content: bytes) -> str:
    """Bytes in a line. What an encoder made is told by what it decodes to: encoders change, pictures do not."""
    plain = f"{len(content)} bytes, sha256 {_digest(content)}"
    try:
        return _DESCRIBED[kind](content) or plain if kind in _DESCRIBED else plain
    except Exception as error:  # noqa: BLE001 - a broken picture is a difference to be shown, whatever its reader raises
        return f"{plain}, which cannot be read as {kind}: {type(error).__name__}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGEST_DIGITS]


def _dicom(content: bytes) -> str:
    """JPEG 2000 in a file by its data set and its decoded frames; any other file is its bytes."""
    if content[128:132] != b"DICM":
        return ""
    dataset = pydicom.dcmread(BytesIO(content))
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in JPEG2000TransferSyntaxes:
        return ""
    count = int(dataset.get("NumberOfFrames") or 1)
    frames = [_jpeg_2000(frame) for frame in generate_frames(dataset.PixelData, number_of_frames=count)]
    del dataset.PixelData
    rest = json.dumps(dataset.to_json_dict(), sort_keys=True).encode()
    return f"file in {syntax}, data set sha256 {_digest(rest)}, frames: {'; '.join(frames)}"


def _jpeg_2000(content: bytes) -> str:
    # Imported late: the codecs take half a second, and other commands have no use for them.
    import imagecodecs

    return _samples("JPEG 2000", imagecodecs.jpeg2k_decode(content))


def _png(content: bytes) -> str:
    import imagecodecs  # late, as above

    return _samples("PNG", imagecodecs.png_decode(content))


# Any: an array of a library that is imported late.
def _samples(name: str, samples: Any) -> str:
    sides = " x ".join(map(str, samples.shape))
    return f"{name}, {sides} of {samples.dtype}, decoded sha256 {_digest(samples.tobytes())}"


def _jpeg(content: bytes) -> str:
    """Size, components and the coarsest quantisation, which is how quality shows; samples differ between decoders."""
    coarsest, place = 0, 2
    while content[place] == 0xFF:
        marker, length = struct.unpack_from(">BH", content, place + 1)
        if marker == 0xDB:
            coarsest = max(coarsest, *content[place + 5 : place + 2 + length])
        if marker in (0xC0, 0xC1, 0xC2):
            bits, rows, columns, components = struct.unpack_from(">BHHB", content, place + 4)
            return f"JPEG, {rows} x {columns}, {components} of {bits} bits, coarsest quantisation {coarsest}"
        place += 2 + length
    return ""


_DESCRIBED: Mapping[str, Callable[[bytes], str]] = {
    "application/dicom": _dicom,
    "image/jp2": _jpeg_2000,
    "image/png": _png,
    "image/jpeg": _jpeg,
}
