"""Query parameters → what is searched for and what is wanted of it (contract C6.1 to C6.3).

A value arrives percent-decoded, with a plus sign as a space. Wildcards are characters like others.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydicom.datadict import dictionary_has_tag, get_entry, tag_for_keyword

from shared.dicom.attributes import SEARCHABLE, Attribute, Level
from shared.dicom.extendedtags import ExtendedTag
from shared.dicom.matching import fold, name_words
from shared.dicom.uids import normalise_uid
from shared.dicom.valuerules import calendar_date
from shared.errors import InvalidParameter
from shared.qido import tagkeys
from shared.storage.conditions import Condition, any_modality, in_range, name_phrase, one_of
from shared.storage.hits import Criteria
from shared.storage.tagset import TagSet

_LEVELS = tuple(Level)
_BY_TAG = {attribute.tag: attribute for attribute in SEARCHABLE}
_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_SHOWN = re.compile(r"[A-Za-z0-9_.,-]{1,64}", re.ASCII)
_SEPARATORS = re.compile(r"[\\,]+")
_PADDING = " \0"
_NO_TAGS = TagSet()

_MOST_CHARACTERS = 256
"""No value of a searchable attribute is longer: a name has three groups of 64 (contract, appendix 1)."""

_MOST_VALUES = 200


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
    return any(_known_tag(name) not in _BY_TAG for name in names if name and name.lower() != "all")


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
            raise InvalidParameter(_shown(name), "the attribute is given twice")
        matched[attribute.tag] = name
        if isinstance(attribute, ExtendedTag):
            parts.add_tag(attribute, _trimmed(name, text), name, fuzzy=asked.fuzzy)
        else:
            parts.add(attribute, _trimmed(name, text), name, fuzzy=asked.fuzzy)
    included, all_fields = _fields(asked.include_fields)
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
            uids = frozenset(_uids(name, text))
            if attribute.level is Level.STUDY:
                self.base = replace(self.base, study_uids=uids)
            elif attribute.level is Level.INSTANCE:
                self.base = replace(self.base, sop_instance_uids=uids)
            else:
                self.conditions[Level.SERIES].append(one_of(attribute.keyword, uids))
        elif attribute.vr in ("DA", "CS"):
            self.conditions[attribute.level].append(_READERS[attribute.vr](attribute, name, text))
        elif len(text) > _MOST_CHARACTERS:
            self.hopeless = True
        else:
            vr = "fuzzy PN" if fuzzy and attribute.vr == "PN" else attribute.vr
            self.conditions[attribute.level].append(_READERS.get(vr, _text)(attribute, name, text))

    def add_tag(self, tag: ExtendedTag, text: str, name: str, *, fuzzy: bool) -> None:
        """Take one matching key in that is an extended query tag."""
        condition = tagkeys.condition(tag, _shown(name), text, _uids, fuzzy=fuzzy)
        if condition is None or len(text) > _MOST_CHARACTERS:
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
        raise InvalidParameter(_shown(name), "attributes inside of sequences cannot be searched for")
    tag = _known_tag(name)
    if tag is None:
        raise InvalidParameter(
            _shown(name), "is neither a parameter of this search nor the keyword or the tag of an attribute"
        )
    attribute = _BY_TAG.get(tag)
    if attribute is None:
        entry = next((one for one in tags.entries if one.tag.tag == tag and one.tag.level in resource.levels), None)
        return tagkeys.searchable(entry, _shown(name))
    if attribute not in resource.searchable:
        raise InvalidParameter(_shown(name), "the attribute cannot be searched for at this resource")
    return attribute


def _known_tag(name: str) -> int | None:
    """The tag that a keyword or eight hexadecimal digits stand for; None when no attribute has that name."""
    if _TAG.fullmatch(name):
        tag = int(name, 16)
        return tag if tag >> 16 & 1 or _in_dictionary(tag) else None  # private attributes are in no dictionary
    return tag_for_keyword(name) if name else None  # some retired attributes have no keyword


def _in_dictionary(tag: int) -> bool:
    if dictionary_has_tag(tag):
        return True
    try:
        get_entry(tag)  # knows the repeating groups, too
    except KeyError:
        return False
    return True


def _trimmed(name: str, text: str) -> str:
    trimmed = text.rstrip(_PADDING)
    if not trimmed.strip():
        raise InvalidParameter(_shown(name), "the value is empty")
    if any(unicodedata.category(letter) == "Cc" for letter in trimmed):
        raise InvalidParameter(_shown(name), "the value has a control character")
    return trimmed


def _listed(name: str, text: str) -> list[str]:
    """The values of a list; viewers write it with backslashes or with commas (PS3.4 §C.2.2.2.2)."""
    values = [value.strip(" ") for value in _SEPARATORS.split(text)]
    if not all(values):
        raise InvalidParameter(_shown(name), "the list has an empty value")
    if len(values) > _MOST_VALUES:
        raise InvalidParameter(_shown(name), f"the list has more than {_MOST_VALUES} values")
    return values


def _uids(name: str, text: str) -> list[str]:
    uids = [normalise_uid(value) for value in _listed(name, text)]
    found = [uid for uid in uids if uid is not None]
    if len(found) < len(uids):
        raise InvalidParameter(_shown(name), "must be a UID: 1 to 64 digits and dots that end with a digit")
    return found


def _date(attribute: Attribute, name: str, text: str) -> Condition:
    first, dash, last = text.strip(" ").partition("-")
    if any(day and calendar_date(day) for day in (first, last)) or not (first or last):
        raise InvalidParameter(
            _shown(name), "must be YYYYMMDD, or two of them with a hyphen of which one may be left out"
        )
    if not dash:
        return one_of(attribute.keyword, [first])
    if first and last and first > last:
        raise InvalidParameter(_shown(name), "the range ends before it begins")
    return in_range(attribute.keyword, first, last)


def _codes(attribute: Attribute, name: str, text: str) -> Condition:
    values = [fold(attribute.vr, value) for value in _listed(name, text)]
    return any_modality(values) if attribute.computed else one_of(attribute.keyword, values)


def _name_beginnings(attribute: Attribute, name: str, text: str) -> Condition:
    if '"' in text:
        raise InvalidParameter(_shown(name), "the value has a double quote, which fuzzy matching does not take")
    # Full-text search drops punctuation around words, so viewers that put wildcards around a name find it.
    words = name_words(text.replace("*", " "))
    if not words:
        raise InvalidParameter(_shown(name), "the value has no word to look for")
    return name_phrase(attribute.keyword, words)


def _text(attribute: Attribute, _name: str, text: str) -> Condition:
    return one_of(attribute.keyword, [fold(attribute.vr, text)])


_READERS: Mapping[str, Callable[[Attribute, str, str], Condition]] = {
    "DA": _date,
    "CS": _codes,
    "fuzzy PN": _name_beginnings,
}


def _fields(lists: Iterable[str]) -> tuple[frozenset[int], bool]:
    """The tags that `includefield` names, and whether it asks for all; `all` beside others wins (contract E10)."""
    included: set[int] = set()
    all_fields = False
    for name in (part.strip(" ") for text in lists for part in text.split(",")):
        if name.lower() == "all":
            all_fields = True
        elif name:
            tag = _known_tag(name)
            if tag is None:
                raise InvalidParameter(
                    "IncludeField", f"{_shown(name)} is neither the keyword nor the tag of an attribute"
                )
            included.add(tag)
    return frozenset(included), all_fields


def _shown(name: str) -> str:
    """A parameter's name as far as it is fit to be repeated."""
    return name if _SHOWN.fullmatch(name) else "a parameter"
