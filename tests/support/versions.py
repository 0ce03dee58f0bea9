"""The versions of this folder, found by their files: a version is in the tests as soon as its file is there."""

from __future__ import annotations

import re
from datetime import date

from shared.api import manifest
from shared.api.labels import Label
from shared.api.manifest import ApiVersion
from shared.dev.versions import files
from tests.support.served import ROOT

MANIFESTS = manifest.load(ROOT / "versions")
_BY_LABEL = {version.label.text: version for version in MANIFESTS.versions}

FIRST = ("v1.0-prerelease", "v1", "v2")
LABELS = tuple(_BY_LABEL)
"""Of all that are served, ascending."""

SUPPORTED = ", ".join(each.label.name for each in MANIFESTS.versions if each.deprecation is None)
DEPRECATED = ", ".join(each.label.name for each in MANIFESTS.versions if each.deprecation is not None)
"""What the two version headers say of an operation that all versions serve; empty for a header that is not sent."""

HEADERS = tuple(
    (name, value)
    for name, value in (("api-supported-versions", SUPPORTED), ("api-deprecated-versions", DEPRECATED))
    if value
)


def of(label: str) -> ApiVersion:
    """What the file of a version says."""
    return _BY_LABEL[label]


def word(label: str, key: str) -> str:
    """A version's behaviour word."""
    return str(getattr(of(label).behaviours, key).value)


def behaves(label: str, **words: str) -> bool:
    """Whether a version has all of some behaviour words."""
    return all(word(label, key) == wanted for key, wanted in words.items())


def having(**words: str) -> tuple[str, ...]:
    """Labels of the versions that have all of some behaviour words, ascending."""
    return tuple(label for label in LABELS if behaves(label, **words))


def is_by_time(label: str) -> bool:
    """Whether the change feed of a version is asked by time, and not by number."""
    sets = [name for row in of(label).rows if row.operation == "getChangeFeed" for name in row.takes]
    return any(one.name.lower() == "starttime" for name in sets for one in MANIFESTS.shapes.takes[name])


def warned_status(label: str) -> int:
    """What a version answers when all was stored, and something with a WarningReason."""
    return {"ok_200": 200, "accepted_202": 202}[word(label, "warned_store_status")]


def file_of_first(label: str) -> str:
    """The file of one of the first three versions as tests edit it, whatever has become of that version since.

    It is not deprecated; one that is retired starts as the next one is.
    """
    text = (ROOT / "versions" / f"{label}.yaml").read_text(encoding="utf-8")
    retired = next((end for end in MANIFESTS.retired if end.label.text == label), None)
    if retired is not None:
        text = files.copied(file_of_first(FIRST[FIRST.index(label) + 1]), retired.label, date(2026, 11, 21), "")
    return re.sub(r"^deprecation: .*$", "deprecation: null", text, flags=re.MULTILINE)


def spellings(label: Label) -> list[str]:
    """Ways to write a version in a path; the last one is in capitals."""
    number, more = f"{label.major}.{label.minor}", f"{label.major}.0{label.minor}"
    numbers = [*([] if label.minor else [str(label.major)]), number, more, f"00{number}"]
    statuses = [f"-{label.status}", label.status] if label.status else [""]
    written = [f"v{each}{status}" for each in numbers for status in statuses]
    return [*written, written[0].upper()]


def is_known(segment: str) -> bool:
    """Whether a text is a spelling of a version, served or retired."""
    ends = [end.label for end in MANIFESTS.retired]
    return any(label.spelled(segment) for label in [*(each.label for each in MANIFESTS.versions), *ends])
