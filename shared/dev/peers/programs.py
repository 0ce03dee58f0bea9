"""Which programs there are, where they are, and what brings them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from shared.dev.repository import ROOT

INSTALL = "python -m shared.dev.peers install"
ORTHANC_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")

_ANSWER_SECONDS = 30.0
# Debian puts servers where the path of a user does not look.
_SERVERS = ("/usr/sbin", "/usr/local/sbin")
FOLDER = ROOT / "build" / "peers"
"""What is unpacked, and what tests leave to look at."""


class MissingPeer(Exception):
    """A program that is not installed.

    Args:
        name: of the program.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not installed. `{INSTALL}` installs it (Debian or Ubuntu, as root).")
        self.name = name


@dataclass(frozen=True, slots=True)
class Package:
    """A package of Debian.

    Attributes:
        name: of the package.
        programs: what is run of it.
        files: what else has to be there.
        version_of: the program that knows its version; empty when none does.
    """

    name: str
    programs: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    version_of: str = ""


PACKAGES = (
    Package("orthanc", ("Orthanc",), version_of="Orthanc"),
    Package("orthanc-dicomweb", files=(ORTHANC_PLUGIN,)),
    Package("dcmtk", ("dcmdump", "dcmftest", "storescu"), version_of="dcmdump"),
    Package("chromium", ("chromium",), version_of="chromium"),
)


def found(name: str) -> str:
    """Path of a program; empty when it is not there."""
    return shutil.which(name) or next((path for folder in _SERVERS if (path := shutil.which(name, path=folder))), "")


def program(name: str) -> str:
    """Path of a program.

    Raises:
        MissingPeer: it is not there.
    """
    path = found(name)
    if not path:
        raise MissingPeer(name)
    return path


def is_there(package: Package) -> bool:
    """Whether all of a package can be used."""
    return all(map(found, package.programs)) and all(file.exists() for file in package.files)


def version(name: str) -> str:
    """The first line that a program says of itself."""
    ended = subprocess.run(
        [program(name), "--version"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_ANSWER_SECONDS,
    )
    return ended.stdout.strip().split("\n")[0].strip("$ ")
