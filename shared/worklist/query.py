"""Query parameters → which workitems are looked for, and what is wanted of them (contract C7.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.dicom.matching import fold
from shared.dicom.workitemkeys import RETURN_SET, SEARCHABLE, TRANSACTION_UID, SearchKey
from shared.errors import InvalidParameter
from shared.storage.conditions import Condition, in_range, name_phrase, one_of
from shared.storage.workitemsearch import any_of
from shared.wire.call import Call
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

_BY_PATH = {key.path: key for key in SEARCHABLE}


@dataclass(frozen=True, slots=True)
class Query:
    """A search, understood.

    Attributes:
        conditions: what workitems must satisfy; None when none can.
        keys: of the attributes that are given; None for all.
    """

    conditions: tuple[Condition, ...] | None
    keys: frozenset[str] | None

    def chosen(self, dataset: Mapping[str, Any]) -> dict[str, Any]:
        """What an answer has of a workitem."""
        keys = dataset.keys() if self.keys is None else self.keys
        return {key: element for key, element in dataset.items() if key in keys}


def parse(call: Call) -> Query:
    """Understand a search.

    Raises:
        InvalidParameter: naming the parameter that breaks a rule.
    """
    conditions: list[Condition] = []
    matched: set[SearchKey] = set()
    hopeless = False
    for name, text in call.parameters["matching_keys"]:
        key = _key(name)
        if key in matched:
            raise InvalidParameter(shown(name), "the attribute is given twice")
        matched.add(key)
        value = trimmed(name, text)
        if key.vr not in ("UI", "CS") and len(value) > MOST_CHARACTERS:
            hopeless = True
        else:
            conditions.append(_condition(key, name, value, fuzzy=call.parameters["fuzzy"]))
    included, all_fields = fields(call.parameters["include_fields"])
    tags = (RETURN_SET | included | {key.path[0] for key in matched}) - {TRANSACTION_UID}
    return Query(
        None if hopeless else tuple(conditions), None if all_fields else frozenset(f"{tag:08X}" for tag in tags)
    )


def _key(name: str) -> SearchKey:
    """The attribute that a parameter names: keywords or tags, with dots between those of a path."""
    path = tuple(known_tag(part) for part in name.split("."))
    if None in path:
        raise InvalidParameter(
            shown(name), "is neither a parameter of this search nor made of keywords or tags of attributes"
        )
    key = _BY_PATH.get(tuple(tag for tag in path if tag is not None))
    if key is None:
        raise InvalidParameter(shown(name), "workitems cannot be searched for by the attribute")
    return key


def _condition(key: SearchKey, name: str, text: str, *, fuzzy: bool) -> Condition:
    if key.vr == "UI":
        return one_of(key.column, listed_uids(name, text))
    if key.vr == "CS":
        return one_of(key.column, [fold(key.vr, value) for value in listed(name, text)])
    if key.vr == "DT":
        asked = span(key.vr, name, text)
        return one_of(key.column, [asked]) if isinstance(asked, str) else in_range(key.column, *asked)
    if key.vr == "PN" and fuzzy:
        return name_phrase(key.column, beginnings(name, text))
    return any_of(key.column, frozenset({fold(key.vr, text)}))
