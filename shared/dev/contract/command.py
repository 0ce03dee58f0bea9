"""`python -m shared.dev.contract`: what changed between two documents, and the gate that keeps promises."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

from shared.api.breaking import engine, loading
from shared.api.breaking.documents import Document, DocumentError
from shared.api.breaking.findings import JSON_SCHEMA, Finding, Level
from shared.dev.contract import gate
from shared.dev.contract.remarks import GateError
from shared.dev.golden import replay as golden_replay
from shared.dev.golden import verdict
from shared.dev.repository import ROOT

OTHER_ENGINE = "oasdiff"
_NOTHING = Document({"openapi": "3.0.3"})
_OTHER_ENGINE_SECONDS = 120

_SCHEMA_TEXT = f"""\
Findings as JSON (--format json) are an array, worst first, of this schema:

{json.dumps(JSON_SCHEMA, indent=2)}

Exit code: 0 when nothing breaks, 1 when something does, 2 when the command or a document cannot be read.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code of a subcommand."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.contract", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_check(commands)
    _add_accept(commands)
    _add_golden(commands)
    _add_diff(commands)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check",
        help="the gate: whether the versions of this folder keep what was promised",
        description="Exit code: 0 when every promise is kept, 1 when one is broken, 2 when that cannot be told.",
    )
    _add_root(parser)
    parser.add_argument(
        "--base", default="", metavar="REVISION", help="compare with this commit, not with the last state that landed"
    )
    parser.add_argument(
        "--today",
        type=date.fromisoformat,
        metavar="DATE",
        help="day that sunsets are compared with (default: today, in UTC)",
    )
    _add_no_golden(parser)
    parser.set_defaults(run=_check)


def _add_accept(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "accept",
        help="write the documents and the golden replies of all versions, for a reviewer to see",
        description="Write versions/baselines and tests/golden from this tree, and name the files that changed.",
    )
    _add_root(parser)
    _add_no_golden(parser)
    parser.set_defaults(run=_accept)


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", type=Path, default=ROOT, metavar="FOLDER", help="folder that has versions/ (default: this one)"
    )


def _add_no_golden(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-golden", action="store_true", help="leave out golden replies, which need the storage emulator"
    )


def _add_golden(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "golden",
        help="golden replies alone: compare the service with tests/golden, or record what it answers",
        description="Starts the storage emulator and the service itself, on free ports. Exit code: 0 when all is as "
        "recorded, 1 when something differs, 2 when that cannot be told, as where the emulator is not installed.",
    )
    parser.add_argument(
        "action", choices=("check", "record"), help="compare with what is recorded, or write what is answered now"
    )
    parser.add_argument("--label", action="append", default=[], help="only this version (may be repeated)")
    _add_root(parser)
    parser.set_defaults(run=_golden)


def _check(options: argparse.Namespace) -> int:
    today = options.today or datetime.now(UTC).date()
    try:
        with ThreadPoolExecutor(1) as pool:
            # Most of a replay is waiting for other processes: meanwhile documents are made and compared.
            replay = None if options.no_golden else pool.submit(golden_replay.replay, options.root, _progress).result
            lines, code = gate.check(options.root, today, options.base, replay)
    except (GateError, OSError) as error:
        return _undecided(error)
    _write("\n".join(lines))
    return code


def _accept(options: argparse.Namespace) -> int:
    try:
        said = gate.accept(options.root)
        if not options.no_golden:
            said += verdict.record(options.root, golden_replay.replay(options.root, _progress))
    except (GateError, OSError) as error:
        return _undecided(error)
    _write("\n".join(said or ["all was fresh"]))
    return 0


def _golden(options: argparse.Namespace) -> int:
    try:
        if options.action == "check":
            lines, code = verdict.check(options.root, _progress, options.label)
        else:
            replayed = golden_replay.replay(options.root, _progress, options.label)
            lines = verdict.record(options.root, replayed, keep_others=bool(options.label)) or ["all was as recorded"]
            code = 0
    except (GateError, OSError) as error:
        return _undecided(error)
    _write("\n".join(lines))
    return code


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _undecided(error: GateError | OSError) -> int:
    print(f"contract: {error}", file=sys.stderr)
    return 2


def _add_diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "diff",
        help="findings between any two OpenAPI 3.0 or 3.1 documents",
        description="Print what changed from BASE, which clients were written for, to REVISION.",
        epilog=_SCHEMA_TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("base", type=Path, metavar="BASE", help="document clients were written for, YAML or JSON")
    parser.add_argument("revision", type=Path, metavar="REVISION", help="document to be served, YAML or JSON")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: %(default)s")
    parser.add_argument(
        "--fail-on",
        choices=("ERR", "WARN"),
        default="ERR",
        help="lowest level that exits with 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--today",
        type=date.fromisoformat,
        metavar="DATE",
        help="day that sunsets of removed operations are compared with; without it no sunset counts as past",
    )
    parser.add_argument(
        "--second-opinion",
        action="store_true",
        help=f"also run {OTHER_ENGINE} when it is on the PATH, and print what it says to stderr; the exit code stays",
    )
    parser.set_defaults(run=_diff)


def _diff(options: argparse.Namespace) -> int:
    try:
        findings = engine.compare(
            loading.read(options.base.read_bytes()), loading.read(options.revision.read_bytes()), options.today
        )
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except DocumentError as error:
        print(_blamed(error, options), file=sys.stderr)
        return 2
    _write(as_json(findings) if options.format == "json" else as_text(findings))
    if options.second_opinion:
        print(second_opinion(options.base, options.revision), file=sys.stderr)
    failing = {Level.ERR} if options.fail_on == "ERR" else {Level.ERR, Level.WARN}
    return 1 if any(finding.level in failing for finding in findings) else 0


def _write(text: str) -> None:
    """Print in UTF-8 whatever the terminal is set to: documents hold every character."""
    sys.stdout.flush()
    sys.stdout.buffer.write(f"{text}\n".encode())
    sys.stdout.flush()


def _blamed(error: DocumentError, options: argparse.Namespace) -> str:
    """An error with the name of the document that has it, where one of them alone has it too."""
    for path in (options.base, options.revision):
        try:
            engine.compare(_NOTHING, loading.read(path.read_bytes()))
        except DocumentError as own:
            return f"{path}: {own}"
    return str(error)


def as_json(findings: Iterable[Finding]) -> str:
    """Findings as a JSON array."""
    return json.dumps([finding.as_json() for finding in findings], indent=2, ensure_ascii=False)


def as_text(findings: Sequence[Finding]) -> str:
    """Findings for people: a line each with level, operation, rule and sentence, then the place; a count last."""
    lines = []
    for finding in findings:
        where = f"{finding.operation} ({finding.operation_id})" if finding.operation_id else finding.operation
        lines.append(f"{finding.level.value:4} {where or 'document'} [{finding.id}] {finding.text}")
        lines.append(f"     at {finding.path or '/'}")
    counts = {level: sum(1 for finding in findings if finding.level is level) for level in Level}
    lines.append(", ".join(f"{count} {level.value}" for level, count in counts.items()))
    return "\n".join(lines)


def second_opinion(base: Path, revision: Path) -> str:
    """What the other engine says of two documents, or that it is not there."""
    program = shutil.which(OTHER_ENGINE)
    if program is None:
        return f"no second opinion: {OTHER_ENGINE} is not on the PATH"
    command = [program, "breaking", str(base), str(revision), "--format", "text"]
    try:
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_OTHER_ENGINE_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"no second opinion: {OTHER_ENGINE} took longer than {_OTHER_ENGINE_SECONDS} seconds"
    return f"second opinion of {OTHER_ENGINE}:\n{(run.stdout + run.stderr).strip() or 'nothing breaks'}"


if __name__ == "__main__":
    sys.exit(main())
