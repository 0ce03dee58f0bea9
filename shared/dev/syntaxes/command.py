"""`python -m shared.dev.syntaxes`: what the service does with each transfer syntax and kind of pixels, tried on files.

Each file goes through a real local host over an in-memory Azurite; a Markdown table says what came out. `--write` puts
it into docs/transfer-syntaxes.md. Exit code 1 when an answer is not what it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from pydicom.dataset import Dataset
from pydicom.uid import UID

from shared.dev.azurite import AzuriteError
from shared.dev.bench.report import BenchError, Progress
from shared.dev.bench.service import running_service
from shared.dev.quiet import quiet
from shared.dev.repository import ROOT
from shared.dev.syntaxes.checks import Checked, Examiner, Outcome, failed
from shared.dev.syntaxes.files import Specimen, specimens
from shared.dicom.uids import NEWER_SYNTAXES

DOCUMENT = ROOT / "docs" / "transfer-syntaxes.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
HEADS = (
    "transfer syntax (1.2.840.10008.…)",
    "file",
    "photometric interpretation, bits, frames x columns x rows",
    "store",
    "frames as `*`",
    "explicit LE",
    "JPEG 2000",
    "rendered",
    "beside",
)
_UID_ROOT = "1.2.840.10008."
_AT_ONCE = 3
_SECONDS = 120


def examined(files: Sequence[Specimen], progress: Progress) -> list[Checked]:
    """What becomes of files, in their order."""
    with quiet(), running_service({"DICOM_DATA_PARTITIONS": "on"}) as service:
        return asyncio.run(_all(f"{service.url}/v2", files, progress))


async def _all(url: str, files: Sequence[Specimen], progress: Progress) -> list[Checked]:
    gate = asyncio.Semaphore(_AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        examiner = Examiner(session, url)

        async def one(place: int, specimen: Specimen) -> Checked:
            async with gate:
                progress.step(f"{place} of {len(files)}: {specimen.transfer_syntax}, {specimen.name}")
                return await examiner.check(specimen, f"file{place}")

        tasks = [asyncio.create_task(one(place, specimen)) for place, specimen in enumerate(files, start=1)]
        return list(await asyncio.gather(*tasks))


def table(rows: Sequence[Checked]) -> str:
    """The table, and below it what the service said where it refused."""
    reasons: dict[str, int] = {}
    lines = [_line(HEADS), _line(["---"] * len(HEADS))]
    lines += [_line(_cells(row, reasons)) for row in rows]
    notes = [f"{number}. {reason}" for reason, number in reasons.items()]
    return "\n".join([*lines, "", *notes])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Checked, reasons: dict[str, int]) -> list[str]:
    specimen = row.specimen
    uid = specimen.transfer_syntax
    syntax = f"{uid.removeprefix(_UID_ROOT)} {NEWER_SYNTAXES.get(uid) or UID(uid).name}"
    described = [syntax, specimen.name, _kind(specimen.image, specimen.frames)]
    return [*described, *(_shown(outcome, reasons) for outcome in row.cells), row.compared_with]


def _shown(outcome: Outcome, reasons: dict[str, int]) -> str:
    if not outcome.reason:
        return outcome.text
    number = reasons.setdefault(_escaped(outcome.reason), len(reasons) + 1)
    return f"{outcome.text} ({number})"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _kind(image: Dataset, frames: int) -> str:
    bits = f"{image.BitsStored} of {image.BitsAllocated} bits{', signed' if image.PixelRepresentation else ''}"
    planes = ", planes" if image.get("PlanarConfiguration") else ""
    return f"{image.PhotometricInterpretation}{planes}, {bits}, {frames} x {image.Columns} x {image.Rows}"


def in_document(document: str, rows: str) -> str:
    """The document with another table.

    Raises:
        BenchError: it has no place for one.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"{DOCUMENT.name} has no lines {BEGIN} and {END}")
    return f"{head}{begin}\n\n{rows}\n\n{end}{tail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the table; 0, or 1 when something came out that must not."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.syntaxes", description=__doc__)
    parser.add_argument("--output", type=Path, help="file for the table; without it, it is printed")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{DOCUMENT.name}")
    options = parser.parse_args(arguments)
    progress = Progress("syntaxes")
    try:
        with quiet():
            rows = examined(specimens(), progress)
        progress.done()
        text = table(rows)
        if options.write:
            DOCUMENT.write_text(in_document(DOCUMENT.read_text(encoding="utf-8"), text), encoding="utf-8")
    except (BenchError, AzuriteError) as error:
        progress.done()
        print(f"syntaxes: {error}", file=sys.stderr)
        return 1
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")
    elif not options.write:
        print(text)
    bad = [row for row in rows if failed(row)]
    for row in bad:
        print(f"syntaxes: not as it must be: {row.specimen.transfer_syntax}, {row.specimen.name}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
