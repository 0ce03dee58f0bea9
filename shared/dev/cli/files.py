"""Files that commands of `dicom` send: which of a folder are DICOM files, what identifies them, what went before."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from shared.dev.cli.screen import Ended, Exit

_HEAD_BYTES = 4096
_META_BEGIN = 132
_LONG_VRS = (b"OB", b"UN", b"UT", b"OW", b"SQ")
_SOP_CLASS, _SOP_INSTANCE = 0x0002, 0x0003
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True)
class Found:
    """A DICOM file.

    Attributes:
        changed_ns: when it was last written, in nanoseconds.
        sop_instance_uid: as the file meta information has it; empty when it has none.
    """

    path: Path
    size_bytes: int
    changed_ns: int
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file that is not sent.

    Attributes:
        why: for people.
        fault: whether it may be a DICOM file, and could not be read.
    """

    path: Path
    size_bytes: int
    why: str
    fault: bool = False


def check_paths(paths: Sequence[Path]) -> None:
    """Raise when something is not there, before anything is sent."""
    for path in paths:
        if not path.exists():
            raise Ended(f"There is no {path}.", Exit.USAGE)


def walk(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """All files in and below some places, with their sizes, in a fixed order. Links to folders are not followed."""
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    yield from _sized(Path(folder, name))
        else:
            yield from _sized(path)


def _sized(path: Path) -> Iterator[tuple[Path, int]]:
    try:
        found = path.stat()
    except OSError:
        yield path, 0
        return
    # A pipe or a device would keep its reader waiting.
    if stat.S_ISREG(found.st_mode):
        yield path, found.st_size


def total(paths: Iterable[Path]) -> tuple[int, int]:
    """How many files there are, and how many bytes in them."""
    files = size_bytes = 0
    for _, one in walk(paths):
        files += 1
        size_bytes += one
    return files, size_bytes


def look(path: Path) -> Found | PassedOver:
    """What a file is, by its first bytes (PS3.10 §7.1)."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            state = os.fstat(file.fileno())
    except OSError as error:
        return PassedOver(path, 0, f"cannot be read: {error.strerror or type(error).__name__}", fault=True)
    if head[_META_BEGIN - 4 : _META_BEGIN] != b"DICM":
        return PassedOver(path, state.st_size, "no DICOM file")
    meta = _meta(head[_META_BEGIN:])
    if meta.get(_SOP_CLASS) == _DIRECTORY_CLASS or path.name.upper() == "DICOMDIR":
        return PassedOver(path, state.st_size, "a directory of other files (DICOMDIR)")
    return Found(path, state.st_size, state.st_mtime_ns, meta.get(_SOP_INSTANCE, ""))


def _meta(head: bytes) -> dict[int, str]:
    """UIDs of the file meta information by element number; it is always explicit little endian."""
    found: dict[int, str] = {}
    place = 0
    while place + 8 <= len(head):
        group, element, vr, length = struct.unpack_from("<HH2sH", head, place)
        place += 8
        if group != 2:
            break
        if vr in _LONG_VRS:
            if place + 4 > len(head):
                break
            (length,) = struct.unpack_from("<I", head, place)
            place += 4
        if vr == b"UI":
            found[element] = head[place : place + length].rstrip(b"\0 ").decode("ascii", "replace")
        place += length
    return found


class Journal:
    """A file that says what was stored where, so that it is not sent again.

    Args:
        path: of the file; it is made when it is not there. None keeps no journal.
        place: what files are sent to. One journal may serve several.
    """

    def __init__(self, path: Path | None, place: str) -> None:
        self._place = place
        self._known: set[bytes] = set()
        self._file = None
        if path is None:
            return
        try:
            # Names of files may be names of patients.
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b", buffering=0)
            self._read()
        except OSError as error:
            raise Ended(f"--journal {path}: {error.strerror or error}", Exit.USAGE) from error

    def _read(self) -> None:
        assert self._file is not None, "only called with a file"
        last = b"\n"
        with os.fdopen(os.dup(self._file.fileno()), "rb") as lines:
            for last in lines:
                self._take(last)
        if not last.endswith(b"\n"):
            # The command died while it wrote; the line counts for nothing, and the next one begins anew.
            self._file.write(b"\n")

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            self._known.add(_digest(entry["place"], entry["file"], entry["bytes"], entry["changed"]))
        except (ValueError, KeyError, TypeError):
            return

    def has(self, file: Found) -> bool:
        """Whether that file was stored there as it is now."""
        return _digest(self._place, _full(file.path), file.size_bytes, file.changed_ns) in self._known

    def add(self, file: Found) -> None:
        """It is stored."""
        if self._file is None:
            return
        name = _full(file.path)
        entry = {"place": self._place, "file": name, "bytes": file.size_bytes, "changed": file.changed_ns}
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._known.add(_digest(self._place, name, file.size_bytes, file.changed_ns))

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _full(path: Path) -> str:
    return str(path.absolute())


def _digest(*parts: object) -> bytes:
    """Short, because there may be millions."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).digest()
