"""`dicom operation`: what has become of long work; also how other commands wait for work that they began."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Mapping
from typing import Any

from shared.dev.cli.client import Ask, Service, opened, pause_of
from shared.dev.cli.options import Command, Commands, Session, add_command
from shared.dev.cli.screen import Bar, Ended, Exit, Screen, counted

_PAUSE_SECONDS = 2.0
_FINISHED_WELL = ("completed", "succeeded")
_FINISHED = (*_FINISHED_WELL, "failed", "canceled")
_WORDS = {"notStarted": "not started yet"}
_ID = re.compile(r"[0-9a-f]{32}")
_TEXTS = {"reindex": "Indexing", "export": "Exporting", "update": "Updating"}


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parsers of the commands."""
    group = commands.add_parser("operation", help="what has become of long work", description="Long work.")
    inner = group.add_subparsers(metavar="COMMAND", required=True)
    example = "0f8fad5bd9cb469fa16570867728950e"
    show = Command("show", "Show what has become of an operation so far", run_show, (f"operation show {example}",))
    wait = Command("wait", "Wait until an operation has ended", run_wait, (f"operation wait {example}",))
    for command in (show, wait):
        parser = add_command(inner, command)
        parser.add_argument("operation", metavar="ID|URL", help="as the command that began it has told")
    add_waiting(parser)


def add_waiting(parser: argparse.ArgumentParser) -> None:
    """The option of commands that wait."""
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="end after that time with exit code 5; the work goes on"
    )


def add_no_wait(parser: argparse.ArgumentParser) -> None:
    """The options of commands that begin work."""
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="print the URL of the operation and end")
    add_waiting(parser)


async def run_show(options: argparse.Namespace, session: Session) -> int:
    """Show an operation as it is."""
    operation_id = _id_of(options.operation, session)
    async with opened(session) as service:
        state = service.read(await service.send(_ask(operation_id)))
    session.screen.give(state)
    session.screen.say("\n".join(described(state)))
    return Exit.REFUSED if _word(state) in ("failed", "canceled") else Exit.WELL


async def run_wait(options: argparse.Namespace, session: Session) -> int:
    """Wait for an operation."""
    operation_id = _id_of(options.operation, session)
    async with opened(session) as service:
        return await wait(service, operation_id, options.timeout)


async def begun(service: Service, ask: Ask, options: argparse.Namespace) -> int:
    """Begin work by a request, and wait for it unless the command line says otherwise."""
    reference = service.read(await service.send(ask))
    operation_id = str(reference.get("id", "")).lower() if isinstance(reference, dict) else ""
    if not _ID.fullmatch(operation_id):
        raise Ended("The service began the work, and does not say the id of its operation.")
    screen = service.session.screen
    url = f"{await service.root()}/operations/{operation_id}"
    if not options.wait:
        screen.give({"id": operation_id, "href": url})
        screen.say(url)
        return Exit.WELL
    screen.note(f"Operation {operation_id}")
    return await wait(service, operation_id, options.timeout)


async def wait(service: Service, operation_id: str, timeout_seconds: float | None) -> int:
    """Wait until an operation has ended, and tell its results."""
    screen = service.session.screen
    go_on = f"The work goes on by itself. To wait for it again: dicom operation wait {operation_id}"
    try:
        async with asyncio.timeout(timeout_seconds):
            state = await _ended(service, operation_id)
    except TimeoutError as error:
        raise Ended(f"It has not ended after {timeout_seconds:g} s. {go_on}", Exit.UNFINISHED) from error
    except asyncio.CancelledError:
        screen.note(f"\n{go_on}")
        raise
    screen.give(state)
    well = _word(state) in _FINISHED_WELL
    _tell(screen, described(state), well=well)
    return Exit.WELL if well else Exit.REFUSED


def _tell(screen: Screen, lines: list[str], *, well: bool) -> None:
    if well:
        screen.say("\n".join(lines))
    elif not screen.json:
        screen.error("\n".join(lines))


async def _ended(service: Service, operation_id: str) -> Mapping[str, Any]:
    answer = await service.send(_ask(operation_id))
    state = service.read(answer)
    with service.session.screen.bar(_TEXTS.get(str(state.get("type")), "Waiting"), 100) as bar:
        while answer.status_code == 202 and _word(state) not in _FINISHED:
            _show(bar, state)
            await asyncio.sleep(pause_of(answer, _PAUSE_SECONDS))
            answer = await service.send(_ask(operation_id))
            state = service.read(answer)
    found: Mapping[str, Any] = state
    return found


def _show(bar: Bar, state: Mapping[str, Any]) -> None:
    percent = state.get("percentComplete")
    if isinstance(percent, (int, float)):
        bar.reach(percent, 100)


def _ask(operation_id: str) -> Ask:
    return Ask(path=f"operations/{operation_id}", takes=(200, 202))


def _id_of(text: str, session: Session) -> str:
    """The id in what was given: an id in any of the forms of a GUID, or the URL of an operation of this service."""
    if "/" in text:
        head, _, text = text.rstrip("/").rpartition("/operations/")
        if not head.startswith(session.target.url + "/"):
            root = head.rpartition("/")[0]
            raise Ended(f"That is no operation of {session.target.url}; give --url {root} as well.", Exit.USAGE)
    bare = text.strip().translate(str.maketrans("", "", "-{}()")).lower()
    if not _ID.fullmatch(bare):
        raise Ended("An operation has an id of 32 hexadecimal digits, or a URL with it.", Exit.USAGE)
    return bare


def _word(state: Mapping[str, Any]) -> str:
    return str(state.get("status", ""))


def described(state: Mapping[str, Any]) -> list[str]:
    """An operation for people."""
    percent = state.get("percentComplete")
    word = _word(state)
    how_far = f", {percent} %" if isinstance(percent, (int, float)) and word not in _FINISHED else ""
    lines = [f"{state.get('type', 'work')}: {_WORDS.get(word, word)}{how_far}"]
    if state.get("reason"):
        lines.append(f"  reason: {state['reason']}")
    results = state.get("results")
    lines += [f"  {line}" for line in _results(results)] if isinstance(results, dict) else []
    return lines


def _results(results: Mapping[str, Any]) -> list[str]:
    if "exported" in results:
        skipped = int(results.get("skipped", 0))
        lines = [f"{counted(int(results['exported']), 'instance')} exported, {skipped:,} skipped"]
        return lines + ([f"what was skipped: {results['errorHref']}"] if skipped and results.get("errorHref") else [])
    if "studyProcessed" in results:
        updated, failed = int(results.get("studyUpdated", 0)), int(results.get("studyFailed", 0))
        instances = counted(int(results.get("instanceUpdated", 0)), "instance")
        missing = int(results["studyProcessed"]) - updated - failed
        lines = [f"{counted(updated, 'study', 'studies')} with {instances} updated, {failed:,} failed"]
        lines += [f"{missing:,} not stored here"] if missing > 0 else []
        return lines + [str(one) for one in results.get("errors") or ()]
    return [f"{name}: {value}" for name, value in results.items() if isinstance(value, (int, float, str))]
