"""Every rule has a pair of documents that makes it fire, alone, and one that does not."""

from __future__ import annotations

import re

import pytest

from shared.api.breaking import catalogue
from shared.api.breaking.findings import Level
from tests.api.breaking import made

PAIRS = made.pairs()
RULES = {rule.id: rule for rule in catalogue.all_rules()}
# It is not about a place of a document: test_engine.py makes it fire.
WITHOUT_PAIR = {"comparison-cut-short"}


def compared(pair, revision):
    kind = next(kind for kind in made.KINDS if pair.get(kind))
    return made.between(kind, pair["base"], revision, openapi=pair.get("openapi", "3.0.3"), today=pair.get("today"))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["rule"])
def test_the_rule_fires_on_its_pair_and_no_other_does(pair):
    assert compared(pair, pair["revision"]) == sorted([pair["rule"], *pair.get("also", [])])


def test_nothing_is_found_where_nothing_changed():
    assert {pair["rule"]: found for pair in PAIRS if (found := compared(pair, pair["base"]))} == {}


def test_each_rule_is_silent_on_a_change_that_is_another():
    """On the quiet revision of its pair, or else on the way back."""

    def other(pair):
        if "quiet" in pair:
            return compared(pair, pair["quiet"])
        return compared({**pair, "base": pair["revision"]}, pair["base"])

    assert [pair["rule"] for pair in PAIRS if pair["rule"] in other(pair)] == []


def test_every_rule_has_a_pair():
    assert RULES.keys() - {pair["rule"] for pair in PAIRS} == WITHOUT_PAIR


def test_every_pair_is_of_a_rule():
    assert {pair["rule"] for pair in PAIRS} - RULES.keys() == set()


def test_ids_are_unique_words_with_hyphens():
    rules = catalogue.all_rules()
    assert len(RULES) == len(rules)
    assert [rule.id for rule in rules if not re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.id)] == []


def test_every_rule_says_what_it_does_to_a_client():
    assert [rule.id for rule in RULES.values() if len(rule.why.split()) < 3 or rule.why.endswith(".")] == []


def test_there_are_rules_of_every_level():
    assert {rule.level for rule in RULES.values()} == set(Level)


def test_a_finding_is_a_sentence_that_names_what_and_why():
    base = made.document("operation", {"parameters": [{"name": "q", "in": "query", "schema": {"type": "string"}}]})
    (finding,) = made.found(base, made.document("operation", {}))
    assert finding.as_json() == {
        "id": "request-parameter-removed",
        "level": "ERR",
        "operation": "GET /things",
        "operationId": "",
        "path": "/paths/~1things/get/parameters/query/q",
        "text": "the query parameter q is gone: what a client asks for with it is left out or refused.",
    }
