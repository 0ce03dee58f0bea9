"""`dicom versions`: the API versions of the service and what becomes of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from shared.dev.cli.client import opened
from shared.dev.cli.options import Command, Commands, Session, add_command
from shared.dev.cli.screen import Exit, table

_HEAD = ("version", "status", "released", "deprecated", "sunset", "successor", "")


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    add_command(
        commands, Command("versions", "List the API versions of the service", run, ("versions", "versions --json"))
    )


async def run(_options: argparse.Namespace, session: Session) -> int:
    """List them."""
    async with opened(session) as service:
        listed = await service.versions()
    session.screen.give(listed)
    session.screen.say(table(_HEAD, [_row(one, listed.get("current")) for one in listed.get("versions", [])]))
    return Exit.WELL


def _row(version: Mapping[str, Any], current: str | None) -> tuple[str, ...]:
    label, status, released, deprecated, sunset, successor = (
        str(version.get(name) or "-") for name in ("label", "status", "released", "deprecated", "sunset", "successor")
    )
    remark = "used unless --api-version says otherwise" if label == current else ""
    if version.get("servedHere") is False and status != "retired":
        remark = "served elsewhere"
    return (label, status, released, deprecated, sunset, successor, remark)
