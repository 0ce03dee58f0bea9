"""`dicom tags`: extended query tags, which are attributes that can be searched for because somebody asked for it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from shared.dev.cli.client import Ask, Service, opened
from shared.dev.cli.operations import add_no_wait, begun
from shared.dev.cli.options import Command, Commands, Run, Session, add_command
from shared.dev.cli.screen import Exit, table

_PATH = "extendedquerytags"
_PAGE = 200
_HEAD = ("tag", "VR", "level", "status", "search", "errors", "private creator")


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parsers of the commands."""
    group = commands.add_parser("tags", help="extended query tags", description="Extended query tags.")
    inner = group.add_subparsers(metavar="COMMAND", required=True)
    add_command(inner, Command("list", "List all tags", run_list, ("tags list", "tags list --json")))
    _add_add(inner)
    for name, text, run in (
        ("get", "Show a tag", run_get),
        ("delete", "Delete a tag; it cannot be searched by at once", run_delete),
        ("enable", "Let searches use a tag, although some instances could not be indexed", _switch("enabled")),
        ("disable", "Refuse searches by a tag", _switch("disabled")),
        ("errors", "List instances that could not be indexed", run_errors),
    ):
        parser = add_command(inner, Command(name, text, run, (f"tags {name} PatientSex",)))
        parser.add_argument("tag", metavar="TAG", help="keyword, or eight hexadecimal digits")


def _add_add(inner: Commands[argparse.ArgumentParser]) -> None:
    examples = (
        "tags add PatientSex --level study",
        'tags add 00091001 --vr LO --level instance --private-creator "ACME 1.0"',
        "tags add StudyID --level study --no-wait",
    )
    parser = add_command(
        inner, Command("add", "Make an attribute searchable, and index what is stored", run_add, examples)
    )
    parser.add_argument("tag", metavar="TAG", help="keyword, or eight hexadecimal digits")
    parser.add_argument("--level", required=True, choices=("study", "series", "instance"), help="what it is said of")
    parser.add_argument("--vr", help="value representation; needed where the dictionary does not say it")
    parser.add_argument("--private-creator", metavar="TEXT", help="who owns the private tag")
    add_no_wait(parser)


async def run_list(_options: argparse.Namespace, session: Session) -> int:
    """All tags."""
    async with opened(session) as service:
        tags = await _all(service, _PATH)
    session.screen.give(tags)
    session.screen.say(table(_HEAD, [_row(tag) for tag in tags]) if tags else "There are no extended query tags.")
    return Exit.WELL


async def run_add(options: argparse.Namespace, session: Session) -> int:
    """Add a tag."""
    said = {"path": options.tag, "level": options.level, "vr": options.vr, "privateCreator": options.private_creator}
    body = [{name: value for name, value in said.items() if value}]
    async with opened(session) as service:
        return await begun(service, Ask(method="POST", path=_PATH, takes=(202,), json=body, repeatable=False), options)


async def run_get(options: argparse.Namespace, session: Session) -> int:
    """One tag."""
    async with opened(session) as service:
        _tell(session, service.read(await service.send(Ask(path=_one(options)))))
    return Exit.WELL


async def run_delete(options: argparse.Namespace, session: Session) -> int:
    """Delete a tag."""
    async with opened(session) as service:
        await service.send(Ask(method="DELETE", path=_one(options), takes=(204,)))
    session.screen.give({"deleted": options.tag})
    session.screen.say(f"{options.tag} is deleted.")
    return Exit.WELL


def _switch(word: str) -> Run:
    async def run(options: argparse.Namespace, session: Session) -> int:
        async with opened(session) as service:
            ask = Ask(method="PATCH", path=_one(options), json={"queryStatus": word})
            _tell(session, service.read(await service.send(ask)))
        return Exit.WELL

    return run


async def run_errors(options: argparse.Namespace, session: Session) -> int:
    """Why instances could not be indexed."""
    async with opened(session) as service:
        errors = await _all(service, f"{_one(options)}/errors")
    session.screen.give(errors)
    lines = [
        f"{_text(error, 'studyInstanceUid')}/{_text(error, 'seriesInstanceUid')}/{_text(error, 'sopInstanceUid')}: "
        f"{_text(error, 'errorMessage')}"
        for error in errors
    ]
    session.screen.say("\n".join(lines) or "Everything could be indexed.")
    return Exit.WELL


async def _all(service: Service, path: str) -> list[Any]:
    found: list[Any] = []
    while True:
        page = service.read(
            await service.send(Ask(path=path, params=[("limit", str(_PAGE)), ("offset", str(len(found)))]))
        )
        found += page
        if len(page) < _PAGE:
            return found


def _one(options: argparse.Namespace) -> str:
    return f"{_PATH}/{quote(options.tag, safe='')}"


def _tell(session: Session, tag: Mapping[str, Any]) -> None:
    session.screen.give(tag)
    session.screen.say(table(_HEAD, [_row(tag)]))


def _row(tag: Mapping[str, Any]) -> tuple[str, ...]:
    errors = tag.get("errors")
    count = str(errors.get("count", "")) if isinstance(errors, dict) else "0"
    path, vr, level, status, search, creator = (
        _text(tag, name) for name in ("path", "vr", "level", "status", "queryStatus", "privateCreator")
    )
    return (path, vr, level, status, search, count, creator)


def _text(entry: Mapping[str, Any], name: str) -> str:
    return str(entry.get(name) or "")
