"""The conformance statement's part on retrieving: representations, and what becomes of each transfer syntax."""

from __future__ import annotations

from shared.api.about.prose import Block, Line, Paragraph, Section, Table, listed
from shared.api.about.statement import SYNTAX_NAMES, Subject, parameter_table
from shared.dicom.codecs import CODECS
from shared.dicom.elements import EXPLICIT_LITTLE
from shared.dicom.pixels import JPEG_2000_LOSSLESS, can_decode, codec_of
from shared.wire.media import AS_STORED, Offer

_SYNTAXES = Paragraph(
    "Instances in any transfer syntax are given as they are stored, with `transfer-syntax=*`. Frames of these can be "
    f"decoded as well, and are then given as {SYNTAX_NAMES[EXPLICIT_LITTLE]} (`{EXPLICIT_LITTLE}`), as "
    f"{SYNTAX_NAMES[JPEG_2000_LOSSLESS]} (`{JPEG_2000_LOSSLESS}`, up to 16 bits a sample) and as pictures. Frames of "
    "videos are not given one by one."
)
_SEVERAL = Paragraph(
    "Several instances in one answer are given as they are stored; one instance is transcoded when a transfer syntax "
    "is asked for that it does not have. Without a transfer syntax in the request, the one in the last column is meant."
)


def decodable() -> tuple[str, ...]:
    """Transfer syntaxes whose frames can be decoded, in the order of their UIDs."""
    known = {*SYNTAX_NAMES, *CODECS}
    return tuple(sorted(filter(can_decode, known), key=lambda uid: [int(part) for part in uid.split(".")]))


def section(subject: Subject) -> Section:
    """Retrieve, for a version."""
    rows = subject.tagged("Retrieve")
    inputs = parameter_table(subject, rows)
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row.offers, []).append(row.operation)
    offers = [_offers(tuple(names), subject.shapes.offers[name]) for name, names in groups.items() if name]
    decoded = Table(
        ("Transfer syntax", "UID", "Codec"),
        tuple((SYNTAX_NAMES.get(uid, uid), f"`{uid}`", codec_of(uid)) for uid in decodable()),
    )
    return Section(
        "Retrieve",
        (_SEVERAL, *((inputs,) if inputs else ())),
        (
            Section("Representations", tuple(block for blocks in offers for block in blocks)),
            Section("Transfer syntaxes", (_SYNTAXES, decoded)),
        ),
    )


def _offers(operations: tuple[str, ...], offers: tuple[Offer, ...]) -> tuple[Block, ...]:
    head = ("Media type", "Framing", "Transfer syntaxes", "Without one")
    rows: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for offer in offers:
        key = (offer.media_type, offer.transfer_syntaxes, offer.default_syntax or "")
        rows.setdefault(key, []).append("parts" if offer.multipart else "alone")
    table = Table(head, tuple(_offer(key, framings) for key, framings in rows.items()))
    return (Paragraph(f"{listed(operations)}:"), table)


def _offer(key: tuple[str, tuple[str, ...], str], framings: list[str]) -> tuple[Line, ...]:
    media_type, syntaxes, default = key
    return (
        f"`{media_type}`",
        " or ".join(framings),
        listed(syntaxes) or "does not apply",
        "as stored" if default == AS_STORED else f"`{default}`" if default else "",
    )
