"""`python -m shared.dev.gallery`: a page with a rendered frame of every transfer syntax and photometric interpretation.

It is for eyes: each picture has gone through the code that serves rendered frames, and what fails is shown as failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from shared.dev.gallery.files import StoredFile, made_files, shipped_files
from shared.dev.gallery.page import Card, page
from shared.dicom.grayscale import Range, Window, transformation
from shared.dicom.headers import parse_header
from shared.dicom.pixels import CannotDecode, PixelDescription, decode, describe
from shared.dicom.rendering import JPEG, render
from shared.dicom.uids import NEWER_SYNTAXES

# Large enough to see something, small enough for a page.
_MOST_PIXELS = 3_200_000
_QUALITY = 90
# White with a speck or two.
_BLANK = ("SC_jpeg_no_color_transform", "SC_rgb_jpeg.dcm", "SC_rgb_jpeg_app14", "SC_rgb_jpeg_dcmd")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that could stand for its transfer syntax and photometric interpretation."""

    stored: StoredFile
    description: PixelDescription

    @property
    def cell(self) -> tuple[str, str]:
        """What it stands for."""
        return self.stored.transfer_syntax, self.description.photometric

    @property
    def worth(self) -> tuple[bool, bool, int]:
        """The largest picture is the best one, among those that show something and are not too large."""
        pixels = self.description.rows * self.description.columns
        small = pixels <= _MOST_PIXELS
        return not self.stored.name.startswith(_BLANK), small, pixels if small else -pixels


def candidates(files: Iterable[StoredFile]) -> list[Candidate]:
    """The files that have frames and say what their pixels are."""
    found = []
    for stored in files:
        if stored.frames:
            try:
                description = describe(parse_header(stored.header), stored.transfer_syntax)
            except CannotDecode as refusal:
                print(f"{stored.name}: left out. {refusal}", file=sys.stderr)
                continue
            found.append(Candidate(stored, description))
    return found


def chosen(files: Iterable[StoredFile]) -> list[Candidate]:
    """The best file of each transfer syntax and photometric interpretation, sorted by these."""
    best: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates(files):
        rival = best.get(candidate.cell)
        if rival is None or candidate.worth > rival.worth:
            best[candidate.cell] = candidate
    return [best[cell] for cell in sorted(best, key=_syntax_order)]


def _syntax_order(cell: tuple[str, str]) -> tuple[list[int], str]:
    return [int(part) for part in cell[0].split(".")], cell[1]


def card(candidate: Candidate, folder: Path) -> Card:
    """The card of a file, whose picture is written into the folder."""
    stored, description = candidate.stored, candidate.description
    uid, photometric = candidate.cell
    header = parse_header(stored.header)
    started = time.perf_counter()
    picture, failure, decode_seconds, render_seconds = "", "", 0.0, 0.0
    try:
        decode(description, stored.frames[0])
        decoded = time.perf_counter()
        content = render(header, description, stored.frames[0], 1, JPEG, _QUALITY)
        decode_seconds, render_seconds = decoded - started, time.perf_counter() - decoded
        picture = f"{uid}-{photometric.replace(' ', '-').lower()}.jpg"
        (folder / picture).write_bytes(content)
    except CannotDecode as refusal:
        failure = str(refusal)
    return Card(
        syntax=NEWER_SYNTAXES.get(uid) or UID(uid).name,
        uid=uid,
        photometric=photometric,
        file=stored.name,
        made=stored.made,
        size=f"{description.columns} x {description.rows}, {len(stored.frames)} frame(s)",
        bits=f"{description.bits_stored} of {description.bits_allocated} bits{', signed' * description.signed}",
        shades=_shades(header, description),
        decode_milliseconds=decode_seconds * 1000,
        render_milliseconds=render_seconds * 1000,
        picture=picture,
        failure=failure,
    )


def _shades(header: Dataset, description: PixelDescription) -> str:
    """Where the shades of a grey picture come from."""
    if description.samples > 1:
        return "as they are"
    if description.photometric == "PALETTE COLOR":
        return "palette"
    shades = transformation(header, description, 1).shades
    if isinstance(shades, Window):
        return f"window {shades.center:g}, {shades.width:g} {shades.function.lower()}".rstrip()
    if shades is None:
        return "range of the frame"
    return "range of its bits" if isinstance(shades, Range) else "VOI LUT"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when every picture could be made, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.gallery", description=__doc__)
    parser.add_argument("--output", default="build/gallery", help="folder of the page (default: %(default)s)")
    folder = Path(parser.parse_args(arguments).output)
    folder.mkdir(parents=True, exist_ok=True)
    real = chosen(shipped_files())
    there = {candidate.cell for candidate in real}
    made = [candidate for candidate in chosen(made_files()) if candidate.cell not in there]
    both = sorted([*real, *made], key=lambda candidate: _syntax_order(candidate.cell))
    cards = []
    for place, candidate in enumerate(both, start=1):
        made_card = card(candidate, folder)
        cards.append(made_card)
        outcome = made_card.failure or f"{made_card.decode_milliseconds:.1f} ms to decode"
        print(f"{place:3}/{len(both)}  {made_card.syntax}, {made_card.photometric}: {made_card.file}: {outcome}")
    (folder / "index.html").write_text(page(cards), encoding="utf-8")
    failed = sum(1 for made_card in cards if made_card.failure)
    print(f"{len(cards)} pictures, {failed} failed: {folder / 'index.html'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
