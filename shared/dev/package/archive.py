"""The zip that is deployed: the same files make the same bytes."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from shared.dev.package.files import PackageError

_BEGIN = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip can name; the time of every file."""
_UNIX = 3
_REGULAR = 0o100644 << 16
_LEVEL = 6


def write(target: Path, files: Mapping[str, bytes]) -> None:
    """Write a zip; it is there whole or not at all. Names are sorted, times and rights fixed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _BEGIN)
            entry.create_system = _UNIX
            entry.external_attr = _REGULAR
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=_LEVEL)
    partial.replace(target)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents_digest(path: Path) -> str:
    """SHA-256 over names and bytes of the files in a zip, whatever compressed them.

    Two builds of zlib may make different bytes of the same files; this tells whether that is all.
    """
    total = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            total.update(f"{hashlib.sha256(archive.read(name)).hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def packed_sizes(path: Path) -> dict[str, int]:
    """How many bytes each file of a zip takes in it."""
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: entry.compress_size for entry in archive.infolist()}


def unpack(path: Path, folder: Path) -> None:
    """Unpack into a folder, which holds nothing else afterwards.

    Raises:
        PackageError: the folder holds something that is no unpacked package, which is not thrown away.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "host.json").is_file():
        raise PackageError(f"{folder} is there, and is no unpacked package; name another folder")
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise PackageError(f"{path} holds a file outside of itself: {name}")
        shutil.rmtree(folder, ignore_errors=True)
        archive.extractall(folder)
