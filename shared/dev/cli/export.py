"""`dicom export` and `dicom update`: work that the service does by itself, begun and waited for."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from shared.dev.cli.client import Ask, opened
from shared.dev.cli.operations import add_no_wait, begun
from shared.dev.cli.options import Command, Commands, Session, add_command
from shared.dev.cli.screen import Ended, Exit

_TO = "DICOM_EXPORT_TO"
_CONNECTION = "DICOM_EXPORT_CONNECTION"
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parsers of both commands."""
    _add_export(commands)
    _add_update(commands)


def _add_export(commands: Commands[argparse.ArgumentParser]) -> None:
    examples = (
        "export --studies 1.2.840.1 --to https://hospital.blob.core.windows.net/research --identity",
        "export --series 1.2.840.1/1.2.840.1.7 --connection UseDevelopmentStorage=true --container research",
        f"export --all --no-wait      # with {_TO}=https://…?sv=…&sig=… in the environment",
    )
    text = "Copy instances into a container of Azure Blob Storage"
    parser = add_command(commands, Command("export", text, run_export, examples))
    what = parser.add_argument_group("what is exported; all may be given together")
    what.add_argument("--studies", nargs="+", default=[], metavar="STUDY")
    what.add_argument("--series", nargs="+", default=[], metavar="STUDY/SERIES")
    what.add_argument("--instances", nargs="+", default=[], metavar="STUDY/SERIES/INSTANCE")
    what.add_argument("--all", action="store_true", help="everything in the data partition, and nothing else is given")
    where = parser.add_argument_group("where to")
    where.add_argument("--to", metavar="URL", help=f"URL of the container; one with a SAS better in {_TO}")
    where.add_argument("--identity", action="store_true", help="the service's own identity opens the container")
    where.add_argument(
        "--connection", metavar="TEXT", help=f"connection string instead of a URL; better in {_CONNECTION}"
    )
    where.add_argument("--container", metavar="NAME", help="the container, with a connection string")
    add_no_wait(parser)


async def run_export(options: argparse.Namespace, session: Session) -> int:
    """Begin an export."""
    body: dict[str, Any] = {"destination": {"type": "azureblob", "settings": _destination(options, session)}}
    identifiers = _identifiers(options)
    if options.all == bool(identifiers):
        raise Ended("Say what is to be exported: --studies, --series and --instances, or --all alone.", Exit.USAGE)
    if identifiers:
        body["source"] = {"type": "identifiers", "settings": {"values": identifiers}}
    ask = Ask(method="POST", path="export", takes=(202,), json=body, partitioned=True, repeatable=False)
    async with opened(session) as service:
        return await begun(service, ask, options)


def _identifiers(options: argparse.Namespace) -> list[str]:
    found: list[str] = []
    for parts, name in enumerate(("studies", "series", "instances"), 1):
        for text in getattr(options, name):
            if len(text.split("/")) != parts:
                raise Ended(f"--{name} takes {'/'.join(('STUDY', 'SERIES', 'INSTANCE')[:parts])}.", Exit.USAGE)
            found.append(text)
    return found


def _destination(options: argparse.Namespace, session: Session) -> dict[str, Any]:
    # Neither is ever shown: both may hold a key.
    url, connection = options.to, options.connection
    if not url and not connection:
        url, connection = session.environment.get(_TO, ""), session.environment.get(_CONNECTION, "")
    if bool(url) == bool(connection):
        raise Ended(f"Say where to: --to URL ({_TO}), or --connection ({_CONNECTION}) and --container.", Exit.USAGE)
    if bool(connection) != bool(options.container):
        raise Ended("--connection and --container go together.", Exit.USAGE)
    if connection and options.identity:
        raise Ended("--identity goes with --to.", Exit.USAGE)
    if connection:
        return {"connectionString": connection, "blobContainerName": options.container}
    return {"blobContainerUri": url, **({"useManagedIdentity": True} if options.identity else {})}


def _add_update(commands: Commands[argparse.ArgumentParser]) -> None:
    examples = (
        "update --studies 1.2.840.1 1.2.840.2 --set PatientName=Right^Name --set PatientID=P-4711",
        "update --studies 1.2.840.1 --from changes.json",
    )
    text = "Give all instances of studies other patient and study attributes (v2 and later)"
    parser = add_command(commands, Command("update", text, run_update, examples))
    parser.add_argument("--studies", nargs="+", required=True, metavar="STUDY", help="up to 50")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEYWORD=VALUE",
        help="may be repeated; values on a command line stay in the history of the shell, --from keeps them out of it",
    )  # fmt: skip
    parser.add_argument("--from", dest="file", type=Path, metavar="FILE", help="what to set, as a DICOM JSON data set")
    add_no_wait(parser)


async def run_update(options: argparse.Namespace, session: Session) -> int:
    """Begin a bulk update."""
    changes = {**(_from_file(options.file) if options.file else {}), **dict(_change(text) for text in options.set)}
    if not changes:
        raise Ended("Say what to change: --set KEYWORD=VALUE, or --from FILE.", Exit.USAGE)
    body = {"studyInstanceUids": options.studies, "changeDataset": changes}
    ask = Ask(
        method="POST", path="studies/$bulkUpdate", takes=(202,), json=body, partitioned=True, repeatable=False
    )  # fmt: skip
    async with opened(session) as service:
        return await begun(service, ask, options)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise Ended(f"--from {path} cannot be read as JSON.", Exit.USAGE) from error
    if not isinstance(found, dict):
        raise Ended(
            f'--from {path} holds no data set: {{"00100020": {{"vr": "LO", "Value": ["P-4711"]}}}}.', Exit.USAGE
        )
    return found


def _change(text: str) -> tuple[str, dict[str, Any]]:
    """`PatientName=A^B` as a tag and an element of DICOM JSON (PS3.18 §F.2)."""
    # Here, because importing it takes longer than most commands.
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    name, equals, value = text.partition("=")
    tag = int(name, 16) if _TAG.fullmatch(name) else tag_for_keyword(name)
    try:
        vr = dictionary_VR(tag) if tag is not None else ""
    except KeyError:
        vr = ""
    if not equals or not vr or tag is None:
        raise Ended(f"--set takes KEYWORD=VALUE with a keyword of the dictionary; {name} is none.", Exit.USAGE)
    return f"{tag:08X}", {"vr": vr, "Value": [_value(vr, one) for one in value.split("\\")]}


def _value(vr: str, text: str) -> Any:
    if vr == "PN":
        return {group: part for group, part in zip(_NAME_GROUPS, text.split("="), strict=False) if part}
    if vr not in ("DS", "IS"):
        return text
    try:
        return int(text) if vr == "IS" else float(text)
    except ValueError as error:
        raise Ended(f"--set takes a number where the VR is {vr}.", Exit.USAGE) from error
