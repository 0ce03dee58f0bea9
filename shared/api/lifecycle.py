"""The end of a version as its file states it: announced (`deprecation`) or over (`retired`). Headers: `farewell.py`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from shared.api import labels
from shared.api.decode import Entry
from shared.api.labels import Label

_HTTPS_URL = (
    r"https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?(?:[/?#][A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?"
)


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Announcement that a version will go. Nothing here is compared with a clock at request time.

    Attributes:
        announced: day of the announcement.
        sunset: first day on which the version may be gone.
        successor: label of the version to move to.
        read_more: page for people, https.
    """

    announced: date
    sunset: date
    successor: str
    read_more: str


@dataclass(frozen=True, slots=True)
class Retirement:
    """A version that is gone, with all that is left of its file.

    Attributes:
        label: of the version.
        on: day of its retirement.
        successor: label of the version to move to.
        read_more: page for people, https.
    """

    label: Label
    on: date
    successor: str
    read_more: str


def deprecation(entry: Entry, released: date) -> Deprecation | None:
    """The announcement of a version released on some day; None when the file has none."""
    if not entry.given:
        return None
    parts = entry.fields(("announced", "sunset", "successor", "read_more"))
    found = Deprecation(
        announced=parts["announced"].day(),
        sunset=parts["sunset"].day(),
        successor=parts["successor"].word(labels.WORD),
        read_more=parts["read_more"].word(_HTTPS_URL),
    )
    if parts["announced"].given and found.announced < released:
        parts["announced"].fault("a version cannot be announced as deprecated before it is released")
    if parts["sunset"].given and found.sunset <= found.announced:
        parts["sunset"].fault("the sunset must come after the announcement")
    return found


def retirement(entry: Entry, label: Label) -> Retirement:
    """What the file of a retired version says."""
    parts = entry.fields(("on", "successor", "read_more"))
    return Retirement(
        label=label,
        on=parts["on"].day(),
        successor=parts["successor"].word(labels.WORD),
        read_more=parts["read_more"].word(_HTTPS_URL),
    )


def check_successors(roots: Sequence[tuple[Entry, Label]], served: Collection[str], retired: Collection[str]) -> None:
    """Whoever goes names a version that stays: another one of this folder that is not retired itself."""
    for root, label in roots:
        for ending in ("deprecation", "retired"):
            entry = root.at(ending, "successor")
            successor = entry.scalar_text
            if not successor:
                continue
            if successor in retired and successor != label.text:
                entry.fault(f"the successor {successor!r} is retired itself")
            elif successor == label.text or successor not in served:
                entry.fault(f"the successor {successor!r} is not another version of this folder")
