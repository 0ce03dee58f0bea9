"""Query parameters → what is searched for and what is wanted of it (contract C6.1 to C6.3).

A value arrives percent-decoded, with a plus sign as a space. Wildcards are characters like others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shared.dicom.attributes import SEARCHABLE, Attribute, Level
from shared.dicom.extendedtags import ExtendedTag
from shared.dicom.matching import fold
from shared.errors import InvalidParameter
from shared.qido import tagkeys
from shared.storage.conditions import Condition, any_modality, in_range, name_phrase, one_of
from shared.storage.hits import Criteria
from shared.storage.tagset import TagSet
from shared.wire.searchkeys import (
    MOST_CHARACTERS,
    beginnings,
    fields,
    known_tag,
    listed,
    listed_uids,
    shown,
    span,
    trimmed,
)

_LEVELS = tuple(Level)
_BY_TAG = {attribute.tag: attribute for attribute in SEARCHABLE}
_NO_TAGS = TagSet()


@dataclass(frozen=True, slots=True)
class Resource:
    """What a search is about.

    Attributes:
        level: of what is found.
        within: the lowest level whose UID the path has; None for a search in everything.
    """

    level: Level
    within: Level | None = None

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels whose attributes can be searched for and are given by default (contract C6.2, C6.5)."""
        first = 0 if self.within is None else _LEVELS.index(self.within) + 1
        return _LEVELS[first : _LEVELS.index(self.level) + 1]

    @property
    def searchable(self) -> tuple[Attribute, ...]:
        """The attributes that can be searched for."""
        return tuple(attribute for attribute in SEARCHABLE if attribute.level in self.levels)


@dataclass(frozen=True, slots=True)
class Query:
    """A search, understood.

    Attributes:
        resource: what it is about.
        criteria: what storage is asked; None when nothing can match.
        matched: tags of the attributes that are searched for.
        included: tags that are asked for by name.
        all_fields: whether everything is asked for.
        extended: the extended query tags that are searched for or asked for by name.
        erroneous: keys, as they were typed, that some instances could not be indexed by.
    """

    resource: Resource
    criteria: Criteria | None
    matched: frozenset[int] = frozenset()
    included: frozenset[int] = frozenset()
    all_fields: bool = False
    extended: tuple[ExtendedTag, ...] = ()
    erroneous: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of a search as they came.

    Attributes:
        matching_keys: names and values.
        include_fields: values of `includefield`, each a list with commas.
        fuzzy: whether names match by the beginnings of their words.
        offset: hits to leave out.
        limit: the most hits to give.
        study_uid: of the path; empty when it has none.
        series_uid: of the path; empty when it has none.
    """

    matching_keys: Sequence[tuple[str, str]] = ()
    include_fields: Sequence[str] = ()
    fuzzy: bool = False
    offset: int = 0
    limit: int = 100
    study_uid: str = ""
    series_uid: str = ""


def may_need_tags(asked: Asked) -> bool:
    """Whether a search may be about extended query tags; False when all that it names is known without them."""
    names = [name for name, _ in asked.matching_keys]
    names += [part.strip(" ") for text in asked.include_fields for part in text.split(",")]
    return any(known_tag(name) not in _BY_TAG for name in names if name and name.lower() != "all")


def parse(resource: Resource, asked: Asked, tags: TagSet = _NO_TAGS) -> Query:
    """Understand a search.

    Args:
        resource: what it is about.
        asked: its parameters.
        tags: the extended query tags that there are.

    Raises:
        InvalidParameter: naming the parameter that breaks a rule.
    """
    criteria = Criteria(
        study_uids=frozenset({asked.study_uid}) if asked.study_uid else None,
        series_uid=asked.series_uid,
        offset=asked.offset,
        limit=asked.limit,
    )
    parts = _Parts(criteria)
    matched: dict[int, str] = {}
    for name, text in asked.matching_keys:
        attribute = _attribute(resource, name, tags)
        if attribute.tag in matched:
            raise InvalidParameter(shown(name), "the attribute is given twice")
        matched[attribute.tag] = name
        if isinstance(attribute, ExtendedTag):
            parts.add_tag(attribute, trimmed(name, text), name, fuzzy=asked.fuzzy)
        else:
            parts.add(attribute, trimmed(name, text), name, fuzzy=asked.fuzzy)
    included, all_fields = fields(asked.include_fields)
    named = included | frozenset(matched)
    return Query(
        resource,
        parts.criteria(),
        frozenset(matched),
        included,
        all_fields,
        tuple(entry.tag for entry in tags.entries if entry.ready and entry.tag.tag in named),
        tagkeys.erroneous(tags, {name: tag for tag, name in matched.items()}),
    )


@dataclass(slots=True)
class _Parts:
    """Criteria in the making."""

    base: Criteria
    conditions: dict[Level, list[Condition]] = field(default_factory=lambda: {level: [] for level in _LEVELS})
    hopeless: bool = False

    def add(self, attribute: Attribute, text: str, name: str, *, fuzzy: bool) -> None:
        """Take one matching key in."""
        if attribute.vr == "UI":
            uids = frozenset(listed_uids(name, text))
            if attribute.level is Level.STUDY:
                self.base = replace(self.base, study_uids=uids)
            elif attribute.level is Level.INSTANCE:
                self.base = replace(self.base, sop_instance_uids=uids)
            else:
                self.conditions[Level.SERIES].append(one_of(attribute.keyword, uids))
        elif attribute.vr in ("DA", "CS"):
            self.conditions[attribute.level].append(_READERS[attribute.vr](attribute, name, text))
        elif len(text) > MOST_CHARACTERS:
            self.hopeless = True
        else:
            vr = "fuzzy PN" if fuzzy and attribute.vr == "PN" else attribute.vr
            self.conditions[attribute.level].append(_READERS.get(vr, _text)(attribute, name, text))

    def add_tag(self, tag: ExtendedTag, text: str, name: str, *, fuzzy: bool) -> None:
        """Take one matching key in that is an extended query tag."""
        condition = tagkeys.condition(tag, shown(name), text, listed_uids, fuzzy=fuzzy)
        if condition is None or len(text) > MOST_CHARACTERS:
            self.hopeless = True
        elif tag.level is Level.INSTANCE:
            self.base = replace(self.base, instance=(*self.base.instance, condition))
        else:
            self.conditions[tag.level].append(condition)

    def criteria(self) -> Criteria | None:
        """All of it; None when nothing can match."""
        if self.hopeless:
            return None
        study, series = (tuple(self.conditions[level]) for level in (Level.STUDY, Level.SERIES))
        return replace(self.base, study=study, series=series)


def _attribute(resource: Resource, name: str, tags: TagSet) -> Attribute | ExtendedTag:
    """The searchable attribute that a parameter names."""
    if "." in name:
        raise InvalidParameter(shown(name), "attributes inside of sequences cannot be searched for")
    tag = known_tag(name)
    if tag is None:
        raise InvalidParameter(
            shown(name), "is neither a parameter of this search nor the keyword or the tag of an attribute"
        )
    attribute = _BY_TAG.get(tag)
    if attribute is None:
        entry = next((one for one in tags.entries if one.tag.tag == tag and one.tag.level in resource.levels), None)
        return tagkeys.searchable(entry, shown(name))
    if attribute not in resource.searchable:
        raise InvalidParameter(shown(name), "the attribute cannot be searched for at this resource")
    return attribute


def _date(attribute: Attribute, name: str, text: str) -> Condition:
    asked = span("DA", name, text)
    return one_of(attribute.keyword, [asked]) if isinstance(asked, str) else in_range(attribute.keyword, *asked)


def _codes(attribute: Attribute, name: str, text: str) -> Condition:
    values = [fold(attribute.vr, value) for value in listed(name, text)]
    return any_modality(values) if attribute.computed else one_of(attribute.keyword, values)


def _name_beginnings(attribute: Attribute, name: str, text: str) -> Condition:
    return name_phrase(attribute.keyword, beginnings(name, text))


def _text(attribute: Attribute, _name: str, text: str) -> Condition:
    return one_of(attribute.keyword, [fold(attribute.vr, text)])


_READERS: Mapping[str, Callable[[Attribute, str, str], Condition]] = {
    "DA": _date,
    "CS": _codes,
    "fuzzy PN": _name_beginnings,
}
