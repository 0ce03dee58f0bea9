"""`dicom copy`: what another DICOMweb server has into the service, again and again until all is there."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shared.dev.cli.client import Service, opened
from shared.dev.cli.copy_source import TOKEN, Listing, Source
from shared.dev.cli.copy_tally import CopyTally, Shown, shown
from shared.dev.cli.copy_work import Doing, in_parallel, listed_of, there_of
from shared.dev.cli.files import Journal
from shared.dev.cli.options import Command, Commands, Session, add_command, address, check_token, partition_name
from shared.dev.cli.screen import Ended, Exit
from shared.dev.cli.search import key_of
from shared.dev.cli.store import Sending, add_limits, limits_of, place_of


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    examples = (
        "copy https://old.example.org/v2 --to https://new.example.org --journal move.journal --verify",
        "copy http://orthanc:8042/dicom-web StudyDate=20260101-20260131 --dry-run",
        "copy https://old.example.org/v1 --source-partition clinic-a --partition clinic-a --studies 1.2.840.1",
    )
    text = "Copy studies of another DICOMweb server into the service; what is there already stays as it is"
    parser = add_command(commands, Command("copy", text, run, examples))
    parser.add_argument("source", metavar="SOURCE-URL", help="what addresses of studies begin with, version included")
    parser.add_argument(
        "keys", nargs="*", default=[], metavar="KEY=VALUE", help="only studies that match (default: all)"
    )
    parser.add_argument("--studies", nargs="+", default=[], metavar="STUDY", help="only these")
    parser.add_argument("--to", dest="url", default=argparse.SUPPRESS, metavar="URL", help="the same as --url")
    parser.add_argument("--source-token", default="", help=f"as --token, for the source; better {TOKEN}")
    parser.add_argument("--source-partition", default="", metavar="NAME", help="data partition of the source")
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="remembers what is copied; it is not asked for again"
    )
    parser.add_argument("--dry-run", action="store_true", help="only count studies and instances")
    parser.add_argument("--verify", action="store_true", help="compare the lists of each study when it is copied")
    add_limits(parser)


async def run(options: argparse.Namespace, session: Session) -> int:
    """Copy all; exit code 0 when every instance that the source lists is there."""
    keys = [key_of(text) for text in options.keys]
    if keys and options.studies:
        raise Ended("Either --studies or KEY=VALUE says what is copied.", Exit.USAGE)
    there = _source(options, session)
    async with opened(session) as target, opened(there) as service:
        place = f"{await service.root(partitioned=True)} > {place_of(session, await target.root(partitioned=True))}"
        source = Source(service)
        found = Listing([(uid,) for uid in dict.fromkeys(options.studies)]) if options.studies else None
        found = found or await source.studies(keys)
        with (
            Journal(None if options.dry_run else options.journal, place) as journal,
            shown(session.screen, len(found.found)) as bar,
        ):
            tally = CopyTally(session.screen, journal, bar)
            if found.cut:
                tally.list_cut(len(found.found))
            copying = _Copying(source, target, tally, journal, bar, options)
            studies = [uid for (uid,) in found.found]
            await (copying.count(studies) if options.dry_run else copying.copy(studies))
    return Exit.WELL if tally.is_well else Exit.REFUSED


def _source(options: argparse.Namespace, session: Session) -> Session:
    target = replace(
        session.target,
        url=address(options.source, "SOURCE-URL"),
        version="",
        token=options.source_token or session.environment.get(TOKEN, "").strip(),
        partition=partition_name(options.source_partition, "--source-partition"),
        is_base=True,
    )
    check_token(target, "SOURCE-URL")
    return replace(session, target=target)


@dataclass(frozen=True, slots=True)
class _Copying:
    source: Source
    target: Service
    tally: CopyTally
    journal: Journal
    bar: Shown
    options: argparse.Namespace

    async def copy(self, studies: Sequence[str]) -> None:
        """Copy all, whatever ends it, what was done is summed up."""
        screen = self.target.session.screen
        limits = limits_of(self.options)
        with tempfile.TemporaryDirectory(prefix="dicom-copy-", ignore_cleanup_errors=True) as folder:
            sending = Sending(self.target, limits, Journal(None, ""), self.tally, self.bar)
            doing = Doing(
                self.source, self.target, sending, self.tally, self.journal, Path(folder), self.options.verify
            )
            try:
                await in_parallel(studies, limits.requests, doing.study, self.bar)
            except (Exception, asyncio.CancelledError):
                self.tally.close()
                again = "" if self.options.journal else " --journal FILE remembers what is copied."
                screen.note(f"Not all is copied. The same command goes on where this one ended.{again}")
                raise
        self.tally.close()

    async def count(self, studies: Sequence[str]) -> None:
        """Say how much there is, and how much of it is there already."""
        instances = there = 0

        async def look(uid: str) -> None:
            nonlocal instances, there
            listed = await listed_of(self.source, uid, self.tally)
            if listed:
                instances += len(listed.found)
                known = await there_of(self.target, uid)
                there += sum(one.sop_instance_uid in known for one in listed.found)

        await in_parallel(studies, self.options.parallel, look, self.bar)
        screen = self.target.session.screen
        numbers = {"studies": len(studies), "instances": instances, "there": there}
        screen.give(numbers)
        screen.say("\n".join(f"{name:<13}  {number:,}" for name, number in _worded(numbers)))


def _worded(numbers: dict[str, int]) -> list[tuple[str, int]]:
    return [("already there" if name == "there" else name, number) for name, number in numbers.items()]
