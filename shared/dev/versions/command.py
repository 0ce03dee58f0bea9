"""`python -m shared.dev.versions`: make a version, announce its end, retire it, list them all. Nothing is committed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from shared.api.manifest import ApiVersion, Manifests
from shared.dev.repository import ROOT
from shared.dev.versions import notes, steps
from shared.dev.versions import tree as version_tree
from shared.dev.versions.steps import Announcement, NewVersion, Step
from shared.dev.versions.tree import README, Refused, Tree

COLUMNS = ("label", "status", "released", "announced", "sunset", "days left", "successor", "operations")
_Commands = argparse._SubParsersAction  # its only name; argparse gives the type no public one


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 refused with nothing changed, 2 the command line is wrong."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.versions", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_new, _add_deprecate, _add_retire, _add_table, _add_list):
        add(commands)
    options = parser.parse_args(arguments)
    options.today = options.today or datetime.now(UTC).date()
    run: Callable[[argparse.Namespace], list[str]] = options.run
    try:
        print("\n".join(run(options)))
    except Refused as error:
        print(f"versions: {error}", file=sys.stderr)
        return 1
    return 0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"a day is written as 2028-03-01, not as {text!r}") from error


def _add_new(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _parser(commands, "new", "a version that starts as another one is", _new)
    parser.add_argument("--from", dest="origin", required=True, metavar="LABEL", help="version to start from")
    parser.add_argument(
        "--name", required=True, metavar="LABEL", help="v3.0-prerelease may change without notice; v3 is a promise"
    )
    parser.add_argument("--released", type=_day, metavar="DATE", help="default: today, in UTC")
    parser.add_argument("--summary", default="", metavar="TEXT", help="one line for its document")
    parser.add_argument(
        "--no-golden", dest="recorded", action="store_false", help="leave golden replies to `make contract-accept`"
    )


def _add_deprecate(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _parser(commands, "deprecate", "announce the end of a version, or move it to a later day", _deprecate)
    parser.add_argument("--version", required=True, metavar="LABEL", help="version that is to end")
    parser.add_argument("--sunset", required=True, type=_day, metavar="DATE", help="when it may be gone")
    parser.add_argument("--successor", required=True, metavar="LABEL", help="version to move to")
    parser.add_argument("--read-more", required=True, metavar="LINK", help="page for people, https")
    parser.add_argument("--announced", type=_day, metavar="DATE", help="default: today, or the day it was announced")


def _add_retire(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _parser(commands, "retire", "end a version whose sunset has come", _retire)
    parser.add_argument("--version", required=True, metavar="LABEL", help="version that ends")
    parser.add_argument("--on", type=_day, metavar="DATE", help="default: today")


def _add_table(commands: _Commands[argparse.ArgumentParser]) -> None:
    _parser(commands, "table", "write the differences between neighbours to versions/README.md", _table)


def _add_list(commands: _Commands[argparse.ArgumentParser]) -> None:
    _parser(commands, "list", "all versions, and how long they live", _list)


def _parser(
    commands: _Commands[argparse.ArgumentParser], name: str, text: str, run: Callable[[argparse.Namespace], list[str]]
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="folder that has versions/")
    parser.add_argument("--today", type=_day, metavar="DATE", help="judge for another day")
    parser.set_defaults(run=run)
    return parser


def _new(options: argparse.Namespace) -> list[str]:
    asked = NewVersion(options.origin, options.name, options.released or options.today, options.summary)
    return _done(options, steps.new(Tree.read(options.root), asked))


def _deprecate(options: argparse.Namespace) -> list[str]:
    asked = Announcement(options.version, options.sunset, options.successor, options.read_more, options.announced)
    return _done(options, steps.deprecate(Tree.read(options.root), asked, options.today))


def _retire(options: argparse.Namespace) -> list[str]:
    on = options.on or options.today
    return _done(options, steps.retire(Tree.read(options.root), options.version, on, options.today))


def _done(options: argparse.Namespace, step: Step) -> list[str]:
    def judged_and_recorded() -> None:
        # Judged when it is written, because the gate compares a tree with changes with another commit than one without.
        if step.ends:
            version_tree.expect_kept(options.root, step.ends, options.today)
        if step.begins and options.recorded:
            version_tree.record(options.root, step.begins)

    version_tree.write(options.root, step.files, judged_and_recorded)
    return list(step.said)


def _table(options: argparse.Namespace) -> list[str]:
    tree = Tree.read(options.root)
    try:
        text = notes.with_table(tree.text(README), tree.manifests.versions)
    except notes.NotesError as error:
        raise Refused(str(error)) from error
    version_tree.write(options.root, {README: text.encode()}, lambda: None)
    left = text.count(f"| {notes.UNEXPLAINED} |")
    return [
        f"{README}: {left} differences have no reason yet" if left else f"{README}: every difference has its reason"
    ]


def _list(options: argparse.Namespace) -> list[str]:
    rows = [COLUMNS, *listed(Tree.read(options.root).manifests, options.today)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def listed(manifests: Manifests, today: date) -> list[tuple[str, ...]]:
    """A line for every version, ascending, in the columns of the list; what there is not is a dash."""
    found = [(version.label, _line(version, today)) for version in manifests.versions]
    for end in manifests.retired:
        line = (end.label.text, "retired", "-", "-", f"gone {end.on}", "-", end.successor, "0")
        found.append((end.label, line))
    return [line for _, line in sorted(found)]


def _line(version: ApiVersion, today: date) -> tuple[str, ...]:
    end = version.deprecation
    ending = ("-",) * 4
    if end is not None:
        left = (end.sunset - today).days
        ending = (str(end.announced), str(end.sunset), str(left) if left > 0 else "may go", end.successor)
    status = f"{version.stability}, deprecated" if end else version.stability
    return (version.label.text, status, str(version.released), *ending, str(len(version.rows)))


if __name__ == "__main__":
    sys.exit(main())
