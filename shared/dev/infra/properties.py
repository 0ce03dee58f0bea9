"""Whether resources have the properties that Azure knows: names, kinds, words and what must be there.

`infra/types.yaml` has them for what the files use and nothing else. It is recorded from the type definitions that the
Bicep compiler itself is given (the repository Azure/bicep-types-az); a property that is not in it is a finding until
somebody records it anew, which fails for a name that Azure does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tree_sitter import Node

from shared.dev.infra.source import Declaration, Finding, Source, children, is_literal, properties, text_of

TABLE = "types.yaml"
_RESOURCE = re.compile(r"[A-Z][A-Za-z]*\.[A-Z][A-Za-z]*(/[A-Za-z]+)+@20\d\d-\d\d-\d\d")
_REQUIRED, _READ_ONLY = 1, 2
_WORDS = {"StringType": "string", "IntegerType": "int", "BooleanType": "bool", "AnyType": "any"}
_LITERALS = {"string": "string", "number": "int", "boolean": "bool", "object": "object"}
# What Bicep itself reads, and Azure never sees.
_ABOUT_FILES = frozenset(["parent", "scope", "dependsOn"])
_HEADER = """\
# Properties that the Bicep files set, with their kinds and words; ! is one that must be there.
# Recorded from the repository Azure/bicep-types-az, which the compiler reads too, by
# `python -m shared.dev.infra record FOLDER`; not to be edited by hand.
"""

Table = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Described:
    """A type of Azure's definitions, and the file that it and what it points to are in."""

    types: list[dict[str, Any]]
    of: dict[str, Any]

    def at(self, reference: Mapping[str, str]) -> Described:
        """What a reference points to."""
        return Described(self.types, self.types[int(reference["$ref"].removeprefix("#/"))])

    @property
    def word(self) -> str:
        """Its kind, or the words that there are."""
        kind = self.of["$type"]
        if kind == "StringLiteralType":
            return str(self.of["value"])
        if kind == "UnionType":
            words = {self.at(each).word for each in self.of["elements"]}
            return " | ".join(sorted(words - {"string"})) or "string"
        if kind == "ArrayType":
            return self.at(self.of["itemType"]).word
        return _WORDS.get(kind, "object")

    def members(self, node: Node) -> dict[str, tuple[Described, int]]:
        """Properties that an object of this type may have, with their flags; `*` for any other name."""
        if self.of["$type"] == "ArrayType":
            return self.at(self.of["itemType"]).members(node)
        if self.of["$type"] == "DiscriminatedObjectType":
            return self._discriminated(node)
        found = {
            key: (self.at(each["type"]), int(each["flags"])) for key, each in self.of.get("properties", {}).items()
        }
        if "additionalProperties" in self.of:
            found["*"] = (self.at(self.of["additionalProperties"]), 0)
        return found

    def _discriminated(self, node: Node) -> dict[str, tuple[Described, int]]:
        given = dict(properties(node)).get(self.of["discriminator"])
        found = {key: (self.at(each["type"]), int(each["flags"])) for key, each in self.of["baseProperties"].items()}
        chosen = self.of["elements"].get(text_of(given)) if given is not None else None
        return found | self.at(chosen).members(node) if chosen else found


def resources(sources: Mapping[Path, Source]) -> Iterator[tuple[Source, Declaration, str]]:
    """Every resource that is made, with its type and version."""
    for source in sources.values():
        for resource in source.of_kind("resource"):
            yield source, resource, source.resource_type(resource)


def property_findings(sources: Mapping[Path, Source], folder: Path) -> Iterator[Finding]:
    """What does not agree with the table."""
    table: Table = yaml.load((folder / TABLE).read_bytes(), Loader=yaml.CSafeLoader)
    for source, resource, kind in resources(sources):
        if not _RESOURCE.fullmatch(kind):
            yield source.finding(resource.node, f"{kind} is no type with a released version")
        elif not resource.existing:
            yield from _against(source, resource, kind, table.get(kind, {}))
    used = {kind for _, resource, kind in resources(sources) if not resource.existing}
    yield from (Finding(TABLE, 1, f"nobody uses {kind}") for kind in sorted(table.keys() - used))


def _against(source: Source, resource: Declaration, kind: str, known: Mapping[str, str]) -> Iterator[Finding]:
    if resource.value is None:
        return
    given: dict[str, list[Node]] = {}
    for item in source.items(resource.value):
        if item.path not in _ABOUT_FILES:
            given.setdefault(item.path, []).append(item.node)
    objects = {""}
    for path, nodes in given.items():
        if path not in known:
            yield source.finding(nodes[0], f"{kind} has no {path}, or it is not recorded")
            continue
        word = known[path].removesuffix(" !")
        for value in (literal for node in nodes for literal in source.literals(node)):
            objects |= {path} if value.type == "object" else set()
            yield from _fits(source, value, path, word)
    yield from (source.finding(resource.node, f"{kind} needs {path}") for path in _missing(known, given, objects))


def _missing(known: Mapping[str, str], given: Collection[str], objects: Collection[str]) -> Iterator[str]:
    """What has to be in an object that is there."""
    for path, word in known.items():
        if word.endswith("!") and path not in given and path.rpartition(".")[0] in objects:
            yield path


def _fits(source: Source, value: Node, path: str, word: str) -> Iterator[Finding]:
    kind = _LITERALS.get(value.type)
    if kind is None or word == "any":
        return
    words = word.split(" | ")
    if word in ("string", "int", "bool", "object"):
        if kind != word:
            yield source.finding(value, f"{path} is {word}, not {kind}")
    elif kind != "string" or (is_literal(value) and text_of(value) not in words):
        yield source.finding(value, f"{path} is one of {word}")


def record(sources: Mapping[Path, Source], definitions: Path, folder: Path) -> list[Finding]:
    """Write the table anew.

    Args:
        sources: the Bicep files.
        definitions: the folder of Azure/bicep-types-az.
        folder: the folder of the table.

    Returns:
        What Azure does not know; the table is written only when there is nothing.
    """
    table: dict[str, dict[str, str]] = {}
    findings: list[Finding] = []
    for source, resource, kind in resources(sources):
        if resource.existing or resource.value is None:
            continue
        described = _definition(definitions, kind)
        if described is None:
            findings.append(source.finding(resource.node, f"there is no definition of {kind}"))
            continue
        findings.extend(_recorded(source, resource.value, described, "", table.setdefault(kind, {})))
    if not findings:
        text = yaml.safe_dump(table, sort_keys=True, width=1000, allow_unicode=True)
        (folder / TABLE).write_text(_HEADER + text, encoding="utf-8")
    return findings


def _recorded(source: Source, node: Node, described: Described, path: str, table: dict[str, str]) -> Iterator[Finding]:
    for value in source.branches(node):
        if value.type == "array":
            for inner in children(value):
                yield from _recorded(source, inner, described, path, table)
        elif value.type == "object":
            members = described.members(value)
            for key, (kind, flags) in members.items():
                if flags & _REQUIRED and not flags & _READ_ONLY:
                    _note(table, _below(path, key), kind.word, " !")
            yield from _members(source, value, members, path, table)


def _members(
    source: Source, node: Node, members: Mapping[str, tuple[Described, int]], path: str, table: dict[str, str]
) -> Iterator[Finding]:
    for key, value in properties(node):
        if key in _ABOUT_FILES and not path:
            continue
        found = members.get(key, members.get("*"))
        if found is None:
            yield source.finding(value, f"Azure knows no {_below(path, key)}")
        elif found[1] & _READ_ONLY and not found[1] & _REQUIRED:
            yield source.finding(value, f"{_below(path, key)} is told by Azure, not to it")
        else:
            _note(table, _below(path, key), found[0].word)
            yield from _recorded(source, value, found[0], _below(path, key), table)


def _note(table: dict[str, str], path: str, word: str, mark: str = "") -> None:
    """Put down a property; one whose words depend on another property has those of all cases."""
    before = table.get(path, "")
    mark = mark or (" !" if before.endswith("!") else "")
    words = {*before.removesuffix(" !").split(" | "), *word.split(" | ")} - {""}
    table[path] = " | ".join(sorted(words)) + mark


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _definition(definitions: Path, kind: str) -> Described | None:
    provider, _, version = kind.partition("@")
    for path in definitions.glob(f"generated/*/{provider.split('/')[0].lower()}/{version}/types.json"):
        types = json.loads(path.read_text(encoding="utf-8"))
        for each in types:
            if each["$type"] == "ResourceType" and str(each["name"]).lower() == kind.lower():
                return Described(types, types[int(each["body"]["$ref"].removeprefix("#/"))])
    return None
