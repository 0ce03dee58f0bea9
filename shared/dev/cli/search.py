"""`dicom search`: studies, series and instances by their attributes (PS3.18 §10.6)."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Mapping
from typing import Any

from shared.dev.cli.client import Ask, Service, opened
from shared.dev.cli.options import Command, Commands, Session, add_command
from shared.dev.cli.screen import Ended, Exit, table

PAGE = 200
STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"

# What people look for first; the UIDs come last, because they are long.
_COLUMNS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "studies": (
        ("patient", "00100010"),
        ("patient id", "00100020"),
        ("date", "00080020"),
        ("accession", "00080050"),
        ("description", "00081030"),
        ("study", STUDY_UID),
    ),
    "series": (("modality", "00080060"), ("description", "0008103E"), ("study", STUDY_UID), ("series", SERIES_UID)),
    "instances": (
        ("modality", "00080060"),
        ("study", STUDY_UID),
        ("series", SERIES_UID),
        ("instance", INSTANCE_UID),
    ),
}


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    examples = (
        "search studies PatientName=smith --fuzzy",
        "search studies StudyDate=20260101-20260131 ModalitiesInStudy=CT,MR --limit 1000",
        "search instances StudyInstanceUID=1.2.840.1 --field NumberOfFrames --json",
    )
    parser = add_command(
        commands, Command("search", "Search for studies, series or instances by their attributes", run, examples)
    )
    parser.add_argument("level", choices=tuple(_COLUMNS), help="what to search for")
    parser.add_argument("keys", nargs="*", metavar="KEY=VALUE", help="an attribute; all of them have to match")
    parser.add_argument("--fuzzy", action="store_true", help="names match by the beginnings of their words")
    parser.add_argument(
        "--field", action="append", default=[], metavar="KEY", help="also give this one; may be repeated"
    )
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="most matches; 0 for all (default: 100)")


async def run(options: argparse.Namespace, session: Session) -> int:
    """Search; exit code 0 also when nothing matches."""
    params = _params(options)
    async with opened(session) as service:
        found = [match async for match in matches(service, options.level, params, options.limit)]
    session.screen.give(found)
    columns = (*_COLUMNS[options.level], *((field, field) for field in options.field))
    if not found:
        session.screen.say("Nothing matches.")
    else:
        rows = [[_shown(match, tag) for _, tag in columns] for match in found]
        session.screen.say(table([name for name, _ in columns], rows))
    if options.limit and len(found) == options.limit:
        session.screen.note(f"There may be more than {options.limit}; --limit 0 gives all.")
    return Exit.WELL


def _params(options: argparse.Namespace) -> list[tuple[str, str]]:
    params = [("fuzzymatching", "true")] if options.fuzzy else []
    params += [key_of(text) for text in options.keys]
    return params + [("includefield", field) for field in options.field]


def key_of(text: str) -> tuple[str, str]:
    """A condition of the command line.

    Raises:
        Ended: it is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Ended("A key is written as PatientID=value.", Exit.USAGE)
    return name, value


async def matches(
    service: Service, path: str, params: list[tuple[str, str]], limit: int
) -> AsyncIterator[dict[str, Any]]:
    """Matches page by page, each once. What is stored meanwhile moves the others back, so some come twice.

    Args:
        service: where to search.
        path: below the data partition.
        params: conditions.
        limit: how many to give; 0 for all.
    """
    offset, given = 0, 0
    seen: set[tuple[str, ...]] = set()
    while True:
        page = [*params, ("limit", str(PAGE)), ("offset", str(offset))]
        headers = {"Accept": "application/dicom+json"}
        ask = Ask(path=path, params=page, takes=(200, 204), headers=headers, partitioned=True)
        found = service.read(await service.send(ask)) or []
        for match in found:
            key = tuple(first(match, tag) for tag in (STUDY_UID, SERIES_UID, INSTANCE_UID))
            if key not in seen:
                seen.add(key)
                yield match
                given += 1
            if given == limit > 0:
                return
        if len(found) < PAGE:
            return
        offset += len(found)


def first(match: Mapping[str, Any], tag: str) -> str:
    """The first value of an element as text; empty when there is none."""
    element = match.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    value = values[0] if isinstance(values, list) and values else None
    if isinstance(value, dict):
        value = next(iter(value.values()), None)
    return "" if value is None else str(value)


def _shown(match: Mapping[str, Any], tag: str) -> str:
    return first(match, _tag(tag))


def _tag(name: str) -> str:
    if len(name) == 8 and all(one in "0123456789abcdefABCDEF" for one in name):
        return name.upper()
    # Here, because importing it takes longer than a search.
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(name)
    return name if tag is None else f"{tag:08X}"
