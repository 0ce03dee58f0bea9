"""`python -m shared.dev.peers`: install other people's programs, and say which are there."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.dev.host.settings import environment
from shared.dev.peers import programs, viewer

_APT_SECONDS = 1800.0
_OWNER_OF_THE_MACHINE = 0


class CannotInstall(Exception):
    """Nothing was changed; the text says why."""


def missing() -> list[str]:
    """Debian packages that are not there."""
    return [package.name for package in programs.PACKAGES if not programs.is_there(package)]


def has_viewer(site: Path = viewer.SITE) -> bool:
    """Whether OHIF is unpacked."""
    return (site / "index.html").exists()


def apt_commands(names: Sequence[str]) -> list[list[str]]:
    """What installs packages here.

    Raises:
        CannotInstall: there is no apt, or nobody who may use it.
    """
    apt = shutil.which("apt-get")
    wanted = " ".join(names)
    if apt is None:
        text = "There is no apt-get here. Install {} in the way of this machine, so that the programs are on the PATH."
        raise CannotInstall(text.format(wanted))
    if os.geteuid() != _OWNER_OF_THE_MACHINE:
        raise CannotInstall(f"Only root may install packages. Have this run: apt-get install {wanted}")
    return [[apt, "update"], [apt, "install", "--yes", "--no-install-recommends", *names]]


def _install() -> None:
    names = missing()
    if names:
        for command in apt_commands(names):
            print(" ".join(command), flush=True)
            quiet = {**environment(), "DEBIAN_FRONTEND": "noninteractive"}
            ended = subprocess.run(command, env=quiet, check=False, timeout=_APT_SECONDS, stdout=subprocess.DEVNULL)
            if ended.returncode:
                raise CannotInstall(f"apt-get has failed ({ended.returncode}); its words are above.")
    if not has_viewer():
        print(f"npm pack {viewer.PACKAGE}@{viewer.VERSION}, unpacked in {viewer.SITE}", flush=True)
        viewer.install()


def _say() -> int:
    for package in programs.PACKAGES:
        there = programs.is_there(package)
        told = programs.version(package.version_of) if there and package.version_of else ""
        print(f"{package.name:<17} {(told or 'there') if there else 'missing'}")
    print(f"{'OHIF':<17} {viewer.VERSION if has_viewer() else 'missing'}")
    whole = not missing() and has_viewer()
    if not whole:
        print(f"`{programs.INSTALL}` installs what is missing.")
    return 0 if whole else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Install or look; 0 when all programs are there."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.dev.peers", description="Programs of other people that the service is tried with."
    )
    words = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    names = ", ".join(package.name for package in programs.PACKAGES)
    words.add_parser("install", help=f"Debian's {names} by apt-get, as root; OHIF by npm into build/peers")
    words.add_parser("list", help="what is there, in which versions")
    options = parser.parse_args(arguments)
    try:
        if options.what == "install":
            _install()
        return _say()
    except (CannotInstall, viewer.ViewerFailed) as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
