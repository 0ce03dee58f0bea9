from __future__ import annotations

import json
from dataclasses import fields
from typing import get_type_hints

import pytest

from shared.api import manifest
from shared.api.about import conduct, differences
from shared.api.breaking.findings import Level
from shared.api.manifest import Row
from shared.behaviours import Behaviours
from shared.errors import InvalidParameter
from tests.api import made
from tests.api.about.reading import Names, bound


def versions(manifests=None):
    return {version.label.text: version for version in (manifests or made.loaded()).versions}


def between(before, after, manifests=None):
    found = versions(manifests)
    return differences.between(found[before], found[after], manifests or made.loaded())


@pytest.mark.parametrize("label", list(versions()))
def test_a_version_does_not_differ_from_itself(label):
    content = json.loads(differences.as_json(between(label, label)))
    assert (content["from"], content["to"], content["stability"]) == (label, label, None)
    assert (content["behaviours"], content["operations"], content["findings"]) == ([], [], [])
    assert str(differences.page(between(label, label)).lead).endswith("There are no differences.")


def test_behaviours_are_those_whose_words_differ_with_what_both_mean():
    found = {one.before.key: one for one in between("v1", "v2").conduct}
    one, two = (versions()[label].behaviours for label in ("v1", "v2"))
    words = {field.name: (getattr(one, field.name), getattr(two, field.name)) for field in fields(one)}
    assert set(found) == {key for key, (before, after) in words.items() if before is not after}
    for key, (before, after) in words.items():
        if key in found:
            assert (found[key].before.word, found[key].after.word) == (before.value, after.value)
            assert found[key].before.sentence != found[key].after.sentence


def test_both_directions_are_known_and_are_each_others_mirror():
    forth, back = between("v1", "v2"), between("v2", "v1")
    assert [(one.before.word, one.after.word) for one in forth.conduct] == [
        (one.after.word, one.before.word) for one in back.conduct
    ]
    rules = [{one.id for one in found.findings if "starttime" in one.text.lower()} for found in (forth, back)]
    assert rules == [{"request-parameter-added"}, {"request-parameter-removed"}]


def test_documents_are_compared_below_their_versions():
    findings = between("v1", "v2").findings
    assert {one.operation for one in findings if one.operation} == {
        "GET /changefeed",
        "POST /studies/$bulkUpdate",
        "POST /partitions/{partitionName}/studies/$bulkUpdate",
    }
    assert not [one for one in between("v1.0-prerelease", "v1").findings if one.level is Level.ERR]


def test_an_operation_that_came_went_or_changed_is_told(tmp_path):
    def without_latest(text):
        start = text.index("  - operation: getLatestChange")
        return text[:start] + text[text.index("  - operation:", start + 5) :]

    manifests = manifest.load(made.folder(tmp_path, v2=without_latest))
    rows = {one.operation: one for one in between("v1", "v2", manifests).rows}
    assert (rows["getLatestChange"].change, rows["getLatestChange"].address) == ("removed", "GET /changefeed/latest")
    assert (rows["getChangeFeed"].change, rows["getChangeFeed"].parts) == ("changed", ("conduct", "parameters"))
    assert {one.operation: one.change for one in between("v2", "v1", manifests).rows}["getLatestChange"] == "added"


def test_every_key_of_a_row_has_a_word_for_people():
    assert {*differences._PARTS, "operation"} == {field.name for field in fields(Row)}


def test_a_deprecation_alone_changes_documents_but_no_conduct(tmp_path):
    manifests = manifest.load(made.folder(tmp_path, v1=made.deprecate))
    found = between("v1.0-prerelease", "v1", manifests)
    assert (found.conduct, found.stability) == ((), ("prerelease", "stable"))
    assert any("deprecat" in one.id for one in found.findings)


def test_every_topic_and_every_word_has_a_sentence():
    hints = get_type_hints(Behaviours)
    assert set(conduct.TOPICS) == set(hints)
    members = [member for words in hints.values() for member in words]
    assert set(conduct.SENTENCES) == set(members)
    assert all(sentence.endswith(".") for sentence in conduct.SENTENCES.values())


@pytest.mark.parametrize("spelling", ["v1", "V1.0", "v01"])
def test_a_version_is_found_by_any_spelling(spelling):
    assert differences.find(made.loaded(), "from", spelling).label.text == "v1"


@pytest.mark.parametrize("spelling", [None, "", "1", "v9", "v1\n", "latest", "<script>"])
def test_what_is_no_version_is_refused_without_being_repeated(spelling):
    with pytest.raises(InvalidParameter) as refused:
        differences.find(made.loaded(), "to", spelling)
    assert str(refused.value) == "to: must be a version of this service: " + ", ".join(versions())


def test_a_retired_version_is_refused_as_such(tmp_path):
    manifests = manifest.load(made.folder(tmp_path, v1__0_prerelease=made.retire))
    with pytest.raises(InvalidParameter, match=r"v1\.0-prerelease is retired"):
        differences.find(manifests, "from", "v1-prerelease")


async def test_differences_are_written_once_for_all_spellings_and_for_each_form():
    endpoint = bound()["service_getChanges"]
    for accept in ("application/json", "text/html"):
        replies = [
            await made.ask(endpoint, made.arrival(query=query, headers={"Accept": accept}))
            for query in ("from=v1&to=v2", "from=V1.0&to=v2.0", "to=v2&from=v1")
        ]
        assert {(reply.status, (reply.media_type or "").partition(";")[0]) for reply in replies} == {(200, accept)}
        assert all(reply.body is replies[0].body for reply in replies)


@pytest.mark.parametrize("query", ["", "from=v1", "to=v2", "from=v1&to=", "from=v1&to=v8", "from=%00&to=v1"])
async def test_a_missing_or_unknown_version_is_400(query):
    reply = await made.ask(bound()["service_getChanges"], made.arrival(query=query))
    assert reply.status == 400
    assert b"must be a version of this service: v1.0-prerelease, v1, v2" in made.whole(reply)


async def test_the_page_for_people_tells_the_same():
    arrival = made.arrival(query="from=v1&to=v2", headers={"Accept": "text/html"})
    page = Names(made.whole(await made.ask(bound()["service_getChanges"], arrival)).decode())
    found = between("v1", "v2")
    for one in found.conduct:
        assert {one.before.word, one.after.word, one.before.topic} <= set(page.text)
    assert {one.operation for one in found.rows} <= set(page.text)
    assert {one.text for one in found.findings if one.id != "behaviour-changed"} <= set(page.text)
    assert {"versions?accept=text/html", "v1/conformance", "v2/conformance"} <= set(page.links)
