"""Roles: which data actions they allow. Those that are built in, and those that a setting adds (contract C16)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.api.access.actions import Action
from shared.settings import SettingsError

_ALL = "*"
_SETTING = "DICOM_AUTH_ROLES"
_WHOLE_SERVICE = "/"
_MOST_NAME_CHARACTERS = 256
_MEMBERS = ("name", "dataActions", "notDataActions", "scopes")


@dataclass(frozen=True, slots=True)
class Role:
    """A name that tokens carry, and what it allows."""

    name: str
    actions: frozenset[Action]


BUILT_IN = (
    # The roles that the original ships (C16).
    Role("globalReader", frozenset({Action.READ})),
    Role("globalAdmin", frozenset(Action)),
    # Those of the hosted service.
    Role("DICOM Data Reader", frozenset({Action.READ})),
    Role("DICOM Data Owner", frozenset(Action)),
)


@dataclass(frozen=True, slots=True)
class Roles:
    """All roles of a deployment, by name."""

    by_name: Mapping[str, Role]

    @classmethod
    def of(cls, text: str) -> Roles:
        """The built-in roles and those of a JSON text; one that has the name of a built-in role takes its place.

        Raises:
            SettingsError: the text is no list of roles.
        """
        own = _read(text) if text else ()
        return cls({role.name: role for role in (*BUILT_IN, *own)})

    def allow(self, names: Iterable[str], action: Action) -> bool:
        """Whether any role of these names allows an action; names of no role here allow nothing."""
        return any(action in self.by_name[name].actions for name in names if name in self.by_name)


def _read(text: str) -> tuple[Role, ...]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{_SETTING} is not JSON") from error
    listed = content.get("roles") if isinstance(content, dict) else content
    if not isinstance(listed, list):
        raise SettingsError(f'{_SETTING} must be a list of roles, or an object with such a list named "roles"')
    faults = [f"role {place}: {fault}" for place, item in enumerate(listed, 1) for fault in _faults(item)]
    names = [item["name"] for item in listed] if not faults else []
    faults += [f"{name!r} is there twice" for name in sorted(set(names)) if names.count(name) > 1]
    if faults:
        raise SettingsError(f"{_SETTING}:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return tuple(_role(item) for item in listed)


# Any: whatever JSON holds.
def _faults(item: Any) -> Iterator[str]:
    if not isinstance(item, dict):
        yield "must be an object"
        return
    unknown = sorted(set(item) - set(_MEMBERS))
    if unknown:
        yield f"unknown member {unknown[0]!r}; known: {', '.join(_MEMBERS)}"
    name = item.get("name")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= _MOST_NAME_CHARACTERS:
        yield f"name must be a text of 1 to {_MOST_NAME_CHARACTERS} characters"
    known = (_ALL, *(action.value for action in Action))
    for member, required in (("dataActions", True), ("notDataActions", False)):
        words = item.get(member, None if required else [])
        if not isinstance(words, list) or not all(word in known for word in words if isinstance(word, str)):
            yield f"{member} must be a list of: {', '.join(known)}"
        elif not all(isinstance(word, str) for word in words):
            yield f"{member} must be a list of texts"
    if item.get("scopes", [_WHOLE_SERVICE]) != [_WHOLE_SERVICE]:
        yield f'scopes must be ["{_WHOLE_SERVICE}"]: a role is about the whole service'


def _role(item: Mapping[str, Any]) -> Role:
    allowed = _actions(item["dataActions"]) - _actions(item.get("notDataActions", []))
    return Role(item["name"].strip(), allowed)


def _actions(words: Iterable[str]) -> frozenset[Action]:
    chosen = set(words)
    return frozenset(action for action in Action if _ALL in chosen or action.value in chosen)
