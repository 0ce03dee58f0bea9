"""The steps in the life of a version: made, announced to go, gone. Each is checked in full before a file is written."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date

from shared.api import farewell
from shared.api.arrival import Arrival
from shared.api.labels import Label
from shared.api.lifecycle import Deprecation, Retirement
from shared.dev.contract.gate import VERSIONS
from shared.dev.contract.promises import NOTICE_DAYS
from shared.dev.versions import files as version_files
from shared.dev.versions.tree import GOLDEN, Files, Refused, Tree
from shared.wire.call import Headers

_LINK = re.compile(r"https://[^\s\"\\]+")


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be written, and what the person at the terminal is told then.

    Attributes:
        files: contents by path; None for what goes.
        said: lines.
        ends: label of the version whose end the gate has to agree to, empty for none.
        begins: label of the version whose golden replies are to be recorded, empty for none.
    """

    files: Files
    said: tuple[str, ...]
    ends: str = ""
    begins: str = ""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a new version is asked to be; `summary` is empty for one made up here."""

    origin: str
    label: str
    released: date
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What clients are to be told of the end of a version; `announced` is None for today, or as it was."""

    label: str
    sunset: date
    successor: str
    read_more: str
    announced: date | None = None


def new(tree: Tree, asked: NewVersion) -> Step:
    """A version that starts as another one is.

    Raises:
        Refused: the label cannot be used, or there is nothing sound to start from.
    """
    label = _unused(tree, asked.label)
    origin = tree.version(asked.origin)
    path = f"{VERSIONS}/{origin.label.text}.yaml"
    tree.expect_committed(path)
    promoted = _promotes(origin.label, label)
    summary = _summary(asked.summary) or ("" if promoted else f"Starts as version {origin.label.name} is.")
    text = version_files.copied(tree.text(path), label, asked.released, summary)
    changed = tree.changed(label.text, text)
    tree.expect_fresh()
    stability = version_files.stability_of(label)
    start = f"what `{origin.label.text}` was" if promoted else f"starts as `{origin.label.text}` is"
    files = {
        f"{VERSIONS}/{label.text}.yaml": text.encode(),
        **changed.documents(),
        **changed.notes(f"`{label.text}` ({stability}, {asked.released}): {start}.", label.text, origin.label.text),
    }
    return Step(files, tuple(_next_of_new(label, origin.label, promoted=promoted)), begins=label.text)


def deprecate(tree: Tree, asked: Announcement, today: date) -> Step:
    """A version that is announced to go, or whose announced end moves.

    Raises:
        Refused: the announcement is none that the gate or the app would take.
    """
    version = tree.version(asked.label)
    _expect_link(asked.read_more)
    earlier = version.deprecation.announced if version.deprecation else today
    end = Deprecation(asked.announced or earlier, asked.sunset, asked.successor, asked.read_more)
    text = version_files.announced(tree.text(_path(asked.label)), end)
    changed = tree.changed(asked.label, text)
    tree.expect_fresh()
    move = f"move to `{end.successor}`, {end.read_more}"
    sentence = f"`{asked.label}` is deprecated since {end.announced} and may be gone from {end.sunset} on: {move}"
    files = {_path(asked.label): text.encode(), **changed.documents(), **changed.notes(sentence)}
    headers = [f"    {name}: {value}" for name, value in _headers(changed, asked.label)]
    said = (
        f"{asked.label} is deprecated: {end.announced} to {end.sunset}, {(end.sunset - end.announced).days} days.",
        "Once this is deployed, every answer of it carries",
        *headers,
        *_warnings(changed, end),
        "Next: `make check`, commit, deploy; tell people at the page above.",
    )
    return Step(files, said, ends=asked.label)


def retire(tree: Tree, label: str, on: date, today: date) -> Step:
    """A version that is gone: its file shrinks, its baseline and its golden replies go.

    Raises:
        Refused: its sunset has not come, or others send their clients to it.
    """
    version = tree.version(label)
    if version.deprecation is None:
        raise Refused(f"{label} was never announced to go: run `make deprecate` first, and wait for its sunset")
    _expect_nobody_follows(tree, label)
    _expect_over(label, version.deprecation.sunset, on, today)
    end = Retirement(version.label, on, version.deprecation.successor, version.deprecation.read_more)
    text = version_files.retired(end)
    changed = tree.changed(label, text)
    tree.expect_fresh()
    golden = [path for path in (tree.root / GOLDEN / label).rglob("*") if path.is_file()]
    sentence = f"`{label}` is gone since {on} and answers 410: move to `{end.successor}`, {end.read_more}"
    files = {
        _path(label): text.encode(),
        **changed.documents(),
        **{str(path.relative_to(tree.root)): None for path in golden},
        **changed.notes(sentence),
    }
    said = (
        f"{label} is retired: every spelling of it answers 410 and points to {end.successor}.",
        "Its file stays for good, so that the label is not used a second time.",
        "Next: `make check`, commit, deploy.",
    )
    return Step(files, said, ends=label)


def _path(label: str) -> str:
    return f"{VERSIONS}/{label}.yaml"


def _unused(tree: Tree, text: str) -> Label:
    """The label that a text is, if no version has or had it under any spelling."""
    label = Label.parse(text)
    if label is None:
        raise Refused(f"{text!r} is not a label such as v3 or v3.0-prerelease")
    for known in (end.label for end in tree.manifests.retired):
        if known == label:
            raise Refused(f"{text} cannot be used: {known.text} was retired, and clients may still call it")
    for known in (version.label for version in tree.manifests.versions):
        if known.text == label.text:
            raise Refused(f"{text} exists already")
        if known == label:
            raise Refused(f"{text} is another spelling of {known.text}, which exists already")
    return label


def _promotes(origin: Label, label: Label) -> bool:
    """Whether a label is the release that a prerelease was for."""
    return (origin.major, origin.minor) == (label.major, label.minor) and label.released and not origin.released


def _summary(text: str) -> str:
    if not text.isprintable():
        raise Refused("the summary must be one line of text")
    return text.strip()


def _next_of_new(label: Label, origin: Label, *, promoted: bool) -> list[str]:
    said = [f"versions/{label.text}.yaml is there, and serves what {origin.text} serves."]
    if promoted:
        days = NOTICE_DAYS["prerelease"]
        more = f"make deprecate VERSION={origin.text} SUNSET=... SUCCESSOR={label.text} READ_MORE=https://..."
        return [
            *said,
            "From its deployment on it is a promise.",
            f"Next: `make check`, commit, deploy; give users of {origin.text} at least {days} days: `{more}`.",
        ]
    return [
        *said,
        "Next: change in it what shall differ, and its summary; then `make contract-accept` writes its document and",
        "`python -m shared.dev.versions table` the differences in versions/README.md, where you say why; `make check`.",
    ]


def _expect_link(text: str) -> None:
    if _LINK.fullmatch(text) is None:
        raise Refused(f"{text!r} is no https address")


def _expect_over(label: str, sunset: date, on: date, today: date) -> None:
    """The days fit; that clients were told of this sunset is seen by the gate."""
    if min(on, today) < sunset:
        raise Refused(f"{label} cannot be gone before its sunset: clients were told they could call it until {sunset}")
    if on > today:
        raise Refused(f"{label} cannot have been retired on {on}: today is {today}")


def _expect_nobody_follows(tree: Tree, label: str) -> None:
    """No other version, gone or going, sends its clients to this one."""
    followers = [end.label.text for end in tree.manifests.retired if end.successor == label]
    followers += [
        each.label.text for each in tree.manifests.versions if each.deprecation and each.deprecation.successor == label
    ]
    if followers:
        said = f"{' and '.join(followers)} names it as successor"
        raise Refused(f"{label} cannot be retired: {said}; give another one there first (versions/README.md)")


def _headers(tree: Tree, label: str) -> tuple[tuple[str, str], ...]:
    """What answers of a deprecated version carry."""
    parting = farewell.of_deprecated(tree.version(label), tree.manifests.versions)
    assert parting is not None, "it was deprecated just now"
    return parting.headers(Arrival("GET", "https", {}, "", Headers([("Host", "your.host.example")]), _no_body()))


async def _no_body() -> AsyncIterator[bytes]:
    return
    yield b""


def _warnings(tree: Tree, end: Deprecation) -> list[str]:
    """What may be meant, and is seldom wise."""
    successor = tree.version(end.successor)
    if successor.deprecation is None:
        return []
    return [f"MIND: {end.successor} is deprecated itself and may be gone from {successor.deprecation.sunset} on."]
