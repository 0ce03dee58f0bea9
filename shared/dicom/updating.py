"""The begin of a file with other values in it: what a bulk update writes anew; the rest of the file goes on unchanged.

Only as much of the file is needed as reaches behind the last changed attribute. Elements that do not change are copied
byte for byte, unless a value needs a character set that the file does not have: then all its texts go to UTF-8.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.dicom.elementbytes import Encoding, TopElement, has_foreign_text, in_utf8
from shared.dicom.elements import (
    DEFLATED_EXPLICIT_LITTLE,
    EXPLICIT_LITTLE,
    PIXEL_KEYWORDS,
    SPECIFIC_CHARACTER_SET,
)
from shared.dicom.framing import Header, NotDicom
from shared.dicom.headers import HeaderReader
from shared.dicom.inflating import DeflatedReader
from shared.dicom.stream import Part10Reader
from shared.dicom.text import python_encodings
from shared.dicom.textbytes import UTF_8, encode_text
from shared.dicom.transcoding import file_meta
from shared.dicom.valuerules import CHARACTER_SET_VRS

IMPLEMENTATION_CLASS_UID = "2.25.193624158868007599389967569306974916627"
IMPLEMENTATION_VERSION_NAME = "OPEN_DICOM_1"

MAX_REWRITTEN_BYTES = 64 * 1024 * 1024
"""Of a file that has to be held to rewrite it: its begin, or all of it when it is deflated."""

_IMPLEMENTATION_CLASS, _IMPLEMENTATION_VERSION = 0x00020012, 0x00020013
_LENGTH_TO_END = 0x00080001
_FED_DEFLATED_BYTES = 8 * 1024  # these may grow a thousandfold
_ALL = 0xFFFFFFFF


class CannotUpdate(Exception):
    """The file cannot be given other values; the text is safe to show."""


class MoreNeeded(Exception):
    """More of the file is needed.

    Attributes:
        everything: whether it takes all before the pixel data, and what follows it; else just some more.
    """

    def __init__(self, *, everything: bool) -> None:
        super().__init__("more of the file is needed")
        self.everything = everything


@dataclass(frozen=True, slots=True)
class Change:
    """What an attribute shall be.

    Attributes:
        tag: at the top level of the data set.
        vr: its VR.
        text: its values, separated by backslashes; not empty.
    """

    tag: int
    vr: str
    text: str


@dataclass(frozen=True, slots=True)
class FileBegin:
    """As much of a file as was read.

    Attributes:
        content: from its start.
        complete: whether it reaches to the value of the pixel data, or to the end of a file without.
        trailer: what follows the pixel data; None as long as it was not read.
        transfer_syntax: as stored.
    """

    content: bytes
    complete: bool
    trailer: bytes | None
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class NewBegin:
    """The begin of the new file.

    Attributes:
        content: its bytes.
        replaced_bytes: how much of the old file it stands for.
        in_utf8: whether its texts went to another character set.
        dropped: tags of retired elements that would be wrong now and are not in it.
    """

    content: bytes
    replaced_bytes: int
    in_utf8: bool
    dropped: frozenset[int] = frozenset()


def new_begin(begin: FileBegin, changes: Sequence[Change], known: Collection[int] = ()) -> NewBegin:
    """The begin of a file that is not deflated, with other values.

    Args:
        begin: what was read of it.
        changes: at least one, of different tags.
        known: those of their tags that the file has somewhere.

    Raises:
        MoreNeeded: what was read does not suffice.
        CannotUpdate: it cannot be done.
    """
    try:
        rewritten = _rewritten(begin, changes, known)
    except NotDicom as error:
        raise CannotUpdate(str(error)) from error
    meta = _new_meta(rewritten.reader, begin.transfer_syntax)
    return NewBegin(meta + rewritten.data_set, rewritten.stop, rewritten.in_utf8, rewritten.dropped)


def new_deflated(content: bytes, changes: Sequence[Change]) -> NewBegin:
    """A whole deflated file with other values (PS3.5 §A.5).

    Args:
        content: the file.
        changes: as above.

    Raises:
        CannotUpdate: it cannot be done.
    """
    try:
        file_reader, inflated = _inflated(content)
        plain = file_reader.file_meta + inflated
        rewritten = _rewritten(FileBegin(plain, True, _behind_pixels(plain), EXPLICIT_LITTLE), changes, ())
    except NotDicom as error:
        raise CannotUpdate(str(error)) from error
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = packer.compress(rewritten.data_set + plain[rewritten.stop :]) + packer.flush()
    meta = _new_meta(file_reader, DEFLATED_EXPLICIT_LITTLE)
    padded = meta + deflated + b"\0" * (len(deflated) % 2)
    return NewBegin(padded, len(content), rewritten.in_utf8, rewritten.dropped)


class _Reader(HeaderReader):
    """Stops before the first element behind a tag, and before pixel data.

    Attributes:
        stop: where that is in the file; None as long as it was not met.
        pixel_header: of the pixel data, when it was that.
    """

    def __init__(self, last: int) -> None:
        super().__init__()
        self._last = last
        self.stop: int | None = None
        self.pixel_header: Header | None = None

    def _element(self, header: Header) -> Iterator[None]:
        tag = header[0]
        if tag <= self._last and tag not in PIXEL_KEYWORDS:
            yield from super()._element(header)
            return
        if tag in PIXEL_KEYWORDS:
            self.pixel_header = header
        self.stop = self._base + self._at
        while True:
            yield


@dataclass(frozen=True, slots=True)
class _Rewritten:
    reader: _Reader
    data_set: bytes
    stop: int
    in_utf8: bool
    dropped: frozenset[int]


def _rewritten(begin: FileBegin, changes: Sequence[Change], known: Collection[int]) -> _Rewritten:
    """The elements up to the last changed one, or up to the pixel data when all texts have to be rewritten."""
    reader, stop = _read(begin, max(change.tag for change in changes))
    found = {span.tag for span in reader.spans}
    if not found.issuperset(known):
        # The file is not in the order of its tags.
        reader, stop = _read(_complete(begin), _ALL)
    elements = _elements(begin.content, reader)
    character_set = next((one.value for one in elements if one.tag == SPECIFIC_CHARACTER_SET), b"")
    values = {change.tag: _value(change, character_set) for change in changes}
    in_utf8 = None in values.values()
    encoding = Encoding(reader.implicit, reader.little)
    if in_utf8:
        reader, stop = _read(_complete(begin), _ALL)
        elements = _all_in_utf8(begin, reader, encoding, character_set)
        changes = [*changes, Change(SPECIFIC_CHARACTER_SET, "CS", UTF_8.decode())]
        values = {change.tag: _value(change, UTF_8) for change in changes}
    wanted = {change.tag: encoding.element(change.tag, change.vr, values[change.tag] or b"") for change in changes}
    groups = {tag >> 16 for tag in wanted}
    # Group lengths are retired, and would be wrong now (PS3.5 §7.2).
    lengths = {one.tag for one in elements if one.tag & 0xFFFF == 0 and (in_utf8 or one.tag >> 16 in groups)}
    dropped = frozenset({*lengths, _LENGTH_TO_END})
    edited = _edited([one for one in elements if one.tag not in dropped], wanted)
    return _Rewritten(reader, edited, stop, in_utf8, dropped)


def _read(begin: FileBegin, last: int) -> tuple[_Reader, int]:
    reader = _Reader(last)
    reader.feed(begin.content)
    if reader.stop is not None:
        return reader, reader.stop
    if not begin.complete:
        raise MoreNeeded(everything=False)
    reader.finish()
    return reader, len(begin.content)


def _complete(begin: FileBegin) -> FileBegin:
    if not begin.complete or begin.trailer is None:
        raise MoreNeeded(everything=True)
    return begin


def _elements(content: bytes, reader: _Reader) -> list[TopElement]:
    return [
        TopElement(
            span.tag,
            span.vr,
            content[span.start : span.stop],
            content[span.value_start : span.stop],
            span.undefined,
        )
        for span in reader.spans
    ]


def _all_in_utf8(begin: FileBegin, reader: _Reader, encoding: Encoding, character_set: bytes) -> list[TopElement]:
    encodings = python_encodings(character_set)
    if begin.trailer:
        rest = file_meta(reader.preamble, reader.meta, begin.transfer_syntax) + begin.trailer
        behind, _ = _read(FileBegin(rest, True, b"", begin.transfer_syntax), _ALL)
        if any(has_foreign_text(one, encoding) for one in _elements(rest, behind)):
            raise CannotUpdate("The file has texts behind its pixel data, in a character set without the new values.")
    return [
        TopElement(one.tag, one.vr, in_utf8(one, encodings, encoding), b"", one.undefined)
        for one in _elements(begin.content, reader)
    ]


def _value(change: Change, character_set: bytes) -> bytes | None:
    """The padded value; None when the character set cannot say it."""
    # Values of other VRs are in the default repertoire (PS3.5 §6.1.2.2).
    value = encode_text(change.text, character_set if change.vr in CHARACTER_SET_VRS else b"")
    return None if value is None else value + b" " * (len(value) % 2)


def _edited(elements: Sequence[TopElement], wanted: Mapping[int, bytes]) -> bytes:
    """The elements with the wanted ones in the places of the old ones, or where they belong when there are none."""
    edited: list[tuple[int, bytes]] = []
    placed: set[int] = set()
    for one in elements:
        if one.tag in placed:
            continue
        if one.tag in wanted:
            placed.add(one.tag)
        edited.append((one.tag, wanted.get(one.tag, one.content)))
    for tag in sorted(wanted.keys() - placed):
        place = next((place for place, (other, _) in enumerate(edited) if other > tag), len(edited))
        edited.insert(place, (tag, wanted[tag]))
    return b"".join(content for _, content in edited)


def _new_meta(reader: Part10Reader, transfer_syntax: str) -> bytes:
    uid, name = IMPLEMENTATION_CLASS_UID.encode(), IMPLEMENTATION_VERSION_NAME.encode()
    ours = [
        (_IMPLEMENTATION_CLASS, "UI", uid + b"\0" * (len(uid) % 2)),
        (_IMPLEMENTATION_VERSION, "SH", name + b" " * (len(name) % 2)),
    ]
    return file_meta(reader.preamble, [*reader.meta, *ours], reader.transfer_syntax or transfer_syntax)


def _inflated(content: bytes) -> tuple[DeflatedReader, bytes]:
    """A deflated file's reader, and its data set."""
    reader = DeflatedReader()
    inflated = bytearray()
    for at in range(0, len(content), _FED_DEFLATED_BYTES):
        inflated += reader.feed(content[at : at + _FED_DEFLATED_BYTES])
        if len(inflated) > MAX_REWRITTEN_BYTES:
            raise CannotUpdate(f"The file inflates to more than {MAX_REWRITTEN_BYTES} bytes.")
    return reader, bytes(inflated)


def _behind_pixels(plain: bytes) -> bytes:
    reader, stop = _read(FileBegin(plain, True, b"", EXPLICIT_LITTLE), _ALL)
    if reader.pixel_header is None:
        return b""
    _, _, size_bytes, length = reader.pixel_header
    return plain[stop + size_bytes + length :]
