"""Strict reading of YAML files: every value is asked for by type, and every fault is kept with its file and line.

Nodes are read instead of finished Python values: only nodes know their line, and what the text looked like before YAML
made a boolean, a number or a date of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

_TAG = "tag:yaml.org,2002:"
_SPOKEN = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number with a point",
    "bool": "a boolean",
    "null": "nothing",
    "timestamp": "a date",
    "map": "a mapping",
    "seq": "a list",
    "merge": "a merge key",
}


class ManifestError(ValueError):
    """One or more faults in the version files; the text lists all of them, each with file and line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("the version files have faults:\n" + "\n".join(f"  - {fault}" for fault in faults))
        self.faults = tuple(faults)


class Faults:
    """Faults found so far."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, place: str, text: str) -> None:
        """Keep one fault; `place` is file and line."""
        line = f"{place}: {text}"
        if line not in self._found:
            self._found.append(line)

    def raise_if_any(self) -> None:
        """Raise one ManifestError with everything found so far, if anything was."""
        if self._found:
            raise ManifestError(self._found)


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a YAML file. Readers note a fault and give back a neutral value when the type is wrong.

    Attributes:
        node: the YAML node; None for a key that is not there.
        file: name for messages.
        faults: where faults go.
    """

    node: yaml.Node | None
    file: str
    faults: Faults

    @property
    def given(self) -> bool:
        """Whether the value is there and is not null."""
        return self.node is not None and self._type != "null"

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.node.start_mark.line + 1 if self.node is not None else 1}"

    @property
    def _type(self) -> str:
        return "" if self.node is None else str(self.node.tag).removeprefix(_TAG)

    @property
    def scalar_text(self) -> str:
        """The text when it is one, else nothing; notes no fault."""
        return str(self.node.value) if isinstance(self.node, yaml.ScalarNode) and self._type == "str" else ""

    def at(self, *names: str) -> Entry:
        """The value below some keys, one in the other; notes no fault when there is none."""
        node = self.node
        for name in names:
            inside = node.value if isinstance(node, yaml.MappingNode) else []
            node = next((value for key, value in inside if key.value == name), None)
        return Entry(node, self.file, self.faults)

    def fault(self, text: str) -> None:
        """Note that something is wrong here."""
        self.faults.add(self.place, text)

    def _scalar(self, wanted: str) -> str | None:
        if self.node is None:
            return None
        if self._type != wanted or not isinstance(self.node, yaml.ScalarNode):
            self.fault(f"{_SPOKEN[wanted]} is due here, not {_SPOKEN.get(self._type, self._type)}{self._hint(wanted)}")
            return None
        return str(self.node.value)

    def _hint(self, wanted: str) -> str:
        if wanted == "str" and self._type in ("bool", "float", "int", "timestamp") and self.node is not None:
            return f" (YAML reads {self.node.value} so; put it in quotes or choose another word)"
        return ""

    def text(self) -> str:
        """A text, trimmed; empty texts are a fault."""
        value = self._scalar("str")
        if value is not None and not value.strip():
            self.fault("the text is empty")
        return (value or "").strip()

    def word(self, pattern: str = r"[A-Za-z][A-Za-z0-9_]*") -> str:
        """A text of one word that matches the whole pattern."""
        value = self._scalar("str")
        if value is not None and re.fullmatch(pattern, value) is None:
            self.fault(f"{value!r} is not a fitting word here (it must match {pattern})")
            return ""
        return value or ""

    def number(self) -> int:
        """A whole number written in decimal."""
        value = self._scalar("int")
        if value is not None and re.fullmatch(r"-?[0-9]{1,9}", value) is None:
            self.fault("a plain decimal number is due here")
            return 0
        return int(value or 0)

    def flag(self) -> bool:
        """A boolean, written true or false."""
        value = self._scalar("bool")
        if value is not None and value not in ("true", "false"):
            self.fault("write true or false")
        return value == "true"

    def day(self) -> date:
        """A date, written year-month-day."""
        value = self._scalar("timestamp")
        if value is None:
            return date.min
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fault("a date such as 2026-11-21 is due here")
            return date.min

    def pairs(self) -> Iterator[tuple[Entry, Entry]]:
        """Keys and values of a mapping, in file order."""
        if self.node is None:
            return
        if not isinstance(self.node, yaml.MappingNode):
            self.fault(f"a mapping is due here, not {_SPOKEN.get(self._type, self._type)}")
            return
        for key, value in self.node.value:
            yield Entry(key, self.file, self.faults), Entry(value, self.file, self.faults)

    def members(self, pattern: str = r"[A-Za-z][A-Za-z0-9_]*") -> dict[str, Entry]:
        """A mapping with free keys that are words."""
        return {key.word(pattern): value for key, value in self.pairs()}

    def fields(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Entry]:
        """A mapping with known keys; the answer has every one of them, absent ones as entries that are not `given`."""
        found: dict[str, Entry] = {}
        for key, value in self.pairs():
            name = key._name((*required, *optional))
            if name in found:
                key.fault(f"the key {name!r} is given twice")
            if name in required or name in optional:
                found[name] = value
            elif name:
                key.fault(f"unknown key {name!r}; known here: {', '.join((*required, *optional))}")
        if isinstance(self.node, yaml.MappingNode):
            for name in required:
                if name not in found:
                    self.fault(f"the key {name!r} is missing")
        return {name: found.get(name, Entry(None, self.file, self.faults)) for name in (*required, *optional)}

    def _name(self, known: tuple[str, ...]) -> str:
        """A key; one of the known names may be a word that YAML takes for a boolean, such as `on`."""
        if isinstance(self.node, yaml.ScalarNode) and self._type == "bool" and self.node.value in known:
            return str(self.node.value)
        return self.word(r"\S+")

    def items(self) -> list[Entry]:
        """A list."""
        if self.node is None:
            return []
        if not isinstance(self.node, yaml.SequenceNode):
            self.fault(f"a list is due here, not {_SPOKEN.get(self._type, self._type)}")
            return []
        return [Entry(node, self.file, self.faults) for node in self.node.value]

    def words(self, pattern: str = r"[A-Za-z][A-Za-z0-9_]*") -> tuple[str, ...]:
        """A list of words."""
        return tuple(word for word in (item.word(pattern) for item in self.items()) if word)

    def plain(self) -> object:
        """The value with everything below it as mappings, lists, texts, numbers and booleans."""
        if isinstance(self.node, yaml.MappingNode):
            return {key.word(r"\S+"): value.plain() for key, value in self.pairs()}
        if isinstance(self.node, yaml.SequenceNode):
            return [item.plain() for item in self.items()]
        readers = {"str": self.text, "int": self.number, "bool": self.flag}
        reader = readers.get(self._type)
        if reader is None:
            self.fault(f"a text, a whole number or a boolean is due here, not {_SPOKEN.get(self._type, self._type)}")
            return None
        return reader()


def read(path: Path, faults: Faults) -> Entry:
    """The root of one YAML file; not `given` when the file cannot be read as YAML, which is then among the faults."""
    nothing = Entry(None, path.name, faults)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        faults.add(f"{path.name}:{line}", f"not YAML: {error.problem or error.context}")
        return nothing
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        faults.add(f"{path.name}:1", f"cannot be read: {type(error).__name__}")
        return nothing
    if node is None:
        faults.add(f"{path.name}:1", "the file is empty")
        return nothing
    root = Entry(node, path.name, faults)
    return root if _is_tree(root) else nothing


def _is_tree(root: Entry) -> bool:
    """Whether no node is used twice (alias) and no mapping has a key twice; notes what is not so."""
    seen: set[int] = set()
    todo = [root]
    clean = True
    while todo:
        entry = todo.pop()
        if id(entry.node) in seen:
            entry.fault("anchors and aliases are not allowed")
            clean = False
            continue
        seen.add(id(entry.node))
        if isinstance(entry.node, yaml.SequenceNode):
            todo.extend(entry.items())
        elif isinstance(entry.node, yaml.MappingNode):
            keys: set[tuple[str, str]] = set()
            for key, value in entry.pairs():
                mark = (key._type, str(key.node.value) if isinstance(key.node, yaml.ScalarNode) else "")
                if mark in keys:
                    key.fault(f"the key {mark[1]!r} is given twice")
                    clean = False
                keys.add(mark)
                todo.append(value)
    return clean
