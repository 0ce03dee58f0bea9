"""Changes of the set of extended query tags: what each makes of the set, and the writes that do it. Pure.

A change that has been done already gives no writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.dicom.attributes import Level
from shared.dicom.extendedtags import ExtendedTag
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.storage.tables import Write
from shared.storage.tagset import (
    MOST,
    GoneTag,
    TagEntry,
    TagSet,
    entry_entity,
    entry_row,
    gone_entity,
    gone_row,
)

Change = tuple[TagSet, list[Write]]


@dataclass(frozen=True, slots=True)
class NewTag:
    """A tag that is to be added.

    Attributes:
        tag: group and element.
        vr: value representation.
        level: where it is indexed.
        creator: of a private attribute; empty for others.
    """

    tag: int
    vr: str
    level: Level
    creator: str = ""

    @property
    def path(self) -> str:
        """Eight upper-case hexadecimal digits."""
        return f"{self.tag:08X}"


def check_room(tags: TagSet, new: Sequence[NewTag], operation_id: str = "") -> None:
    """Return when tags can be added.

    Args:
        tags: the set.
        new: what is to be added.
        operation_id: those that this operation has added already do not count; empty for none.

    Raises:
        Conflict: there is one of them already, or deleted ones have to be cleaned away first.
        InvalidRequest: there would be too many.
    """
    known = {entry.tag.path: entry for entry in tags.entries}
    absent = [one for one in new if one.path not in known]
    there_already = [known[one.path] for one in new if one.path in known]
    if any(not operation_id or entry.operation != operation_id for entry in there_already):
        raise Conflict("One of these extended query tags exists already.")
    if len(known) + len(absent) > MOST:
        raise InvalidRequest(f"There may be {MOST} extended query tags at most.")
    if len(tags.free_slots()) < len(absent):
        raise Conflict("Data of deleted extended query tags has to be cleaned away first; please try again later.")


def installed(new: Sequence[NewTag], operation_id: str, tags: TagSet) -> Change:
    """Add tags in the name of an operation."""
    check_room(tags, new, operation_id)
    absent = [one for one in new if tags.find(one.path) is None]
    slots, added = tags.free_slots(), tags.added + 1
    entries = [
        TagEntry(
            ExtendedTag(one.tag, one.vr, one.level, tags.next_number + place, slots[place], one.creator),
            added,
            operation=operation_id,
        )
        for place, one in enumerate(absent)
    ]
    after = replace(tags, added=added, next_number=tags.next_number + len(entries), entries=(*tags.entries, *entries))
    return after, [Write("insert", entry_row(entry), entry_entity(entry)) for entry in entries]


def _replaced(tags: TagSet, changed: Sequence[TagEntry]) -> Change:
    by_number = {entry.tag.number: entry for entry in changed}
    after = replace(tags, entries=tuple(by_number.get(entry.tag.number, entry) for entry in tags.entries))
    writes = [
        Write("replace", entry_row(entry), entry_entity(entry))
        for entry, before in zip(after.entries, tags.entries, strict=True)
        if entry != before
    ]
    return after, writes


def switched(path: str, enabled: bool, tags: TagSet) -> Change:
    """Say whether a tag can be searched for.

    Raises:
        NotFound: there is no such tag.
    """
    return _replaced(tags, [replace(there(tags, path), enabled=enabled)])


def removed(path: str, number: int, since: str, tags: TagSet) -> Change:
    """Take a tag out, if it is still the one of that number."""
    entry = tags.find(path)
    if entry is None or entry.tag.number != number:
        return tags, []
    gone = GoneTag(entry.tag.number, entry.tag.slot, since)
    left = tuple(one for one in tags.entries if one is not entry)
    writes = [Write("delete", entry_row(entry)), Write("insert", gone_row(gone.number), gone_entity(gone))]
    return replace(tags, entries=left, gone=(*tags.gone, gone)), writes


def finished(done: Sequence[TagEntry], tags: TagSet) -> Change:
    """Say that everything is indexed by some tags."""
    wanted = {entry.tag.number for entry in done if entry.operation}
    entries = [replace(one, ready=True, operation="") for one in tags.entries if one.tag.number in wanted]
    after, writes = _replaced(tags, entries)
    return replace(after, indexed=max((tags.indexed, *wanted))), writes


def reported(numbers: Sequence[int], tags: TagSet) -> Change:
    """Say that values of some tags could not be indexed; nobody searches for them until told so."""
    found = [entry for entry in tags.entries if entry.tag.number in numbers]
    return _replaced(tags, [replace(entry, erroneous=True, enabled=False) for entry in found])


def forgotten(gone: GoneTag, tags: TagSet) -> Change:
    """A tag that is gone has left nothing any more."""
    left = tuple(one for one in tags.gone if one != gone)
    return replace(tags, gone=left), [Write("delete", gone_row(gone.number))] if left != tags.gone else []


def there(tags: TagSet, path: str) -> TagEntry:
    """The entry of a tag.

    Raises:
        NotFound: there is none.
    """
    entry = tags.find(path)
    if entry is None:
        raise NotFound("There is no such extended query tag.")
    return entry
