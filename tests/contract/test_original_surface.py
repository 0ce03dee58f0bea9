"""What can be called by the documents of the original service is in ours too: paths, methods, parameters, statuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.documents import Node, documents, operations

FACTS = yaml.load(Path(__file__).with_name("original_surface.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
EVERY_VERSION = ("v1.0-prerelease", "v1", "v2")
PARTITION = "/partitions/{partitionName}"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that an operation has: itself (`it`), a parameter (`query Limit`) or a status (`status 200`)."""

    method: str
    path: str
    what: str


@dataclass(frozen=True, slots=True)
class Excuse:
    """What is not there, and why.

    Attributes:
        path: regular expression of the paths it is about, below the version and its partition.
        what: likewise, of what is missing.
    """

    reason: str
    path: str
    what: str = ".*"

    def covers(self, fact: Fact) -> bool:
        path = fact.path if fact.path == "/partitions" else fact.path.removeprefix(PARTITION)
        return bool(re.fullmatch(self.path, path) and re.fullmatch(self.what, fact.what))


NOT_BUILT_YET: tuple[Excuse, ...] = ()
# These are in docs/differences.md, too.
LEFT_OUT = (
    Excuse("operators' routes of its SQL schema, which is not here", r"/_schema/.*"),
    Excuse("listed for versions below 2, where the original answers 404", r"/studies/\$bulkUpdate"),
    Excuse("listed, but the default partition is always there, so no list is empty", r"/partitions", "status 204"),
    Excuse("listed for making a workitem, which answers 201 in both", r"/workitems", "status (200|202|204)"),
    Excuse("listed by mistake: the original does not read them", r"/changefeed", r"query Window\.(Start|End)"),
)


def facts_of_original(label: str) -> Iterator[Fact]:
    for row in FACTS:
        if label not in row.get("versions", EVERY_VERSION):
            continue
        method, path = row["request"].split()
        places = ("", PARTITION) if row.get("partitions") else ("",)
        for start in places:
            yield Fact(method, start + path, "it")
            for place in ("query", "header"):
                yield from (Fact(method, start + path, f"{place} {name}") for name in row.get(place, ()))
            yield from (Fact(method, start + path, f"status {status}") for status in row["statuses"])


def facts_of_ours(label: str, document: Node) -> Iterator[Fact]:
    for operation in operations(document):
        method, path = operation.method.upper(), operation.path.removeprefix(f"/{label}")
        yield Fact(method, path, "it")
        yield from (Fact(method, path, f"{one['in']} {one['name']}") for one in operation.parameters)
        yield from (Fact(method, path, f"status {status}") for status in operation.node["responses"])


def missing(label: str) -> set[Fact]:
    return set(facts_of_original(label)) - set(facts_of_ours(label, documents()[label]))


# A retired version has no document; one that the original never had is not compared.
COMPARED = [label for label in EVERY_VERSION if label in documents()]


@pytest.mark.parametrize("label", COMPARED)
def test_all_of_the_original_is_there_but_for_what_is_excused(label):
    excuses = (*NOT_BUILT_YET, *LEFT_OUT)
    assert sorted(map(str, (fact for fact in missing(label) if not any(one.covers(fact) for one in excuses)))) == []


@pytest.mark.parametrize("excuse", [*NOT_BUILT_YET, *LEFT_OUT], ids=lambda one: one.reason)
def test_an_excuse_that_nothing_needs_any_more_is_deleted(excuse):
    assert any(excuse.covers(fact) for label in COMPARED for fact in missing(label))


def test_the_facts_are_those_of_the_original():
    """Of its three documents: 69, 71 and 71 operations, its five internal ones among them."""
    found = {label: [fact for fact in facts_of_original(label) if fact.what == "it"] for label in EVERY_VERSION}
    assert {label: len(facts) for label, facts in found.items()} == {"v1.0-prerelease": 69, "v1": 71, "v2": 71}
