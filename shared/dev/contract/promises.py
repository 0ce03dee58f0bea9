"""What versions promise beside their documents, then and now: how long they live, and how they behave.

Manifests are read loosely here: those of the history were written for the loader of their day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import yaml

from shared.dev.contract.remarks import GateError, Remark

NOTICE_DAYS = {"stable": 365, "prerelease": 90}
# Dates are written without a time zone.
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Promise:
    """One version's promise; the fields are those of its file, empty or None where the file does not have them."""

    label: str
    stability: str
    behaviours: Mapping[str, str]
    announced: date | None
    sunset: date | None
    successor: str
    read_more: str
    retired: bool
    retired_on: date | None


Promises = Mapping[str, Promise]


def read(name: str, text: bytes) -> Promise:
    """The promise in a version file.

    Raises:
        GateError: the file is no mapping, or a date in it is none.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise GateError(f"{name} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise GateError(f"{name} cannot be read: it is no mapping")
    deprecation, retired = _part(content, "deprecation"), _part(content, "retired")
    behaviours = _part(content, "behaviours")
    return Promise(
        label=name.removesuffix(".yaml"),
        stability=str(content.get("stability") or ""),
        behaviours={str(key): str(word) for key, word in behaviours.items()},
        announced=_day(name, deprecation, "announced"),
        sunset=_day(name, deprecation, "sunset"),
        successor=str(deprecation.get("successor") or ""),
        read_more=str(deprecation.get("read_more") or ""),
        retired=bool(content.get("retired")),
        # YAML takes the key `on` for a truth value unless it is quoted.
        retired_on=_day(name, {"on": retired.get("on", retired.get(True))}, "on"),
    )


# Any: what a file holds is known only after looking.
def _part(content: Mapping[str, Any], key: str) -> Mapping[Any, Any]:
    part = content.get(key)
    return part if isinstance(part, dict) else {}


def _day(name: str, part: Mapping[str, Any], key: str) -> date | None:
    value = part.get(key)
    if value is None or type(value) is date:
        return value
    raise GateError(f"{name} cannot be read: {key} is no date such as 2030-12-31")


def life_cycle(before: Promises, now: Promises, today: date, since: date) -> Iterator[Remark]:
    """What is wrong with how versions come to an end.

    Args:
        before: versions at the reference.
        now: versions in the work tree.
        today: the day that sunsets are compared with.
        since: day of the reference; what it did not announce cannot have been announced earlier.
    """
    for label, promise in before.items():
        after = now.get(label)
        if after is None or after.retired:
            yield from _left(promise, after, today)
        elif not promise.retired:
            yield from _held(promise, after)
    for label, promise in now.items():
        if promise.announced or promise.sunset:
            yield from _notice(promise, before.get(label), since)


def _left(promise: Promise, after: Promise | None, today: date) -> Iterator[Remark]:
    """A version that is not served any more; one that was retired before has nothing left to promise."""
    if promise.retired:
        return
    what = "is gone" if after is None else "is retired"
    if promise.sunset is None:
        yield Remark(
            promise.label,
            "version-removed-without-notice",
            f"it {what}, but its end was never announced: deprecate it first, with a sunset.",
        )
    elif promise.sunset > today:
        yield Remark(
            promise.label,
            "version-removed-before-sunset",
            f"it {what} on {today}, but clients were told they could call it until {promise.sunset}.",
        )
    elif after is not None and after.retired_on is not None and after.retired_on < promise.sunset:
        yield Remark(
            promise.label,
            "retired-before-sunset",
            f"it says it was retired on {after.retired_on}, before its sunset on {promise.sunset}.",
        )


def _held(promise: Promise, after: Promise) -> Iterator[Remark]:
    label = promise.label
    if promise.sunset is not None:
        if after.sunset is None:
            yield Remark(label, "sunset-removed", f"the sunset on {promise.sunset} that clients were told of is gone.")
        elif after.sunset < promise.sunset:
            moved = f"the sunset went from {promise.sunset} to {after.sunset}"
            yield Remark(label, "sunset-moved-nearer", f"{moved}: clients have less time than they were told.")
    if promise.stability == "stable" and after.stability != "stable":
        said = after.stability or "unsaid"
        yield Remark(label, "document-stability-lowered", f"the stability went from stable to {said}.")


def _notice(promise: Promise, before: Promise | None, since: date) -> Iterator[Remark]:
    """What an announcement needs, and that it was not dated back to seem long."""
    for key, rule in (("successor", "successor-missing"), ("read_more", "read-more-missing")):
        if not getattr(promise, key):
            yield Remark(promise.label, rule, f"it is deprecated without {key}: clients are not told where to go.")
    if promise.announced is None or promise.sunset is None:
        yield Remark(promise.label, "deprecation-incomplete", "a deprecation needs announced and sunset.")
        return
    least = NOTICE_DAYS.get(promise.stability, NOTICE_DAYS["stable"])
    days = (promise.sunset - promise.announced).days
    if days < least:
        text = f"{days} days from announcement to sunset are too few: {promise.stability} versions need {least}."
        yield Remark(promise.label, "notice-too-short", text)
    earliest = before.announced if before and before.announced else since - _DAY
    if before is not None and promise.announced < earliest:
        text = f"it says it was announced on {promise.announced}, but on {earliest} clients were not told so yet."
        yield Remark(promise.label, "announcement-dated-back", text)


def conduct(before: Promises, now: Promises) -> Iterator[Remark]:
    """Behaviour words of stable versions that changed. Words that are new or gone show in the documents."""
    for label, promise in before.items():
        after = now.get(label)
        if after is None or after.retired or promise.stability != "stable":
            continue
        for key, word in promise.behaviours.items():
            other = after.behaviours.get(key, word)
            if other != word:
                text = f"{key} went from {word} to {other}: the service does another thing than clients were told."
                yield Remark(label, "behaviour-changed", f"{text} Another conduct needs another version.")
