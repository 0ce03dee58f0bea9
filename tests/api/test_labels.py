from __future__ import annotations

import itertools

import pytest

from shared.api.labels import ANY_VERSION, Label, spells


def label(text: str) -> Label:
    parsed = Label.parse(text)
    assert parsed is not None
    return parsed


LABELS = {text: label(text) for text in ("v1.0-prerelease", "v1", "v2", "v2.1", "v10")}
SPELLINGS = {
    "v1.0-prerelease": [
        "v1.0-prerelease",
        "v1-prerelease",
        "V1.0-PRERELEASE",
        "v1prerelease",
        "v1.00prerelease",
        "v01-Prerelease",
    ],
    "v1": ["v1", "V1", "v1.0", "v01", "v1.00"],
    "v2": ["v2", "v2.0", "V2.0", "v002"],
    "v2.1": ["v2.1", "v2.01"],
    "v10": ["v10", "v10.0"],
}


@pytest.mark.parametrize(("text", "spelling"), [(text, one) for text, several in SPELLINGS.items() for one in several])
def test_every_spelling_means_its_own_version_only(text, spelling):
    meant = [name for name, one in LABELS.items() if one.spelled(spelling)]
    assert meant == [text]
    assert spells(ANY_VERSION, spelling)


@pytest.mark.parametrize(
    "text", ["v3", "v2.2", "v1beta", "v1-beta", "v2024-01-31", "v2024-01-31.1.0-beta", "v1.0-rc1", "v0"]
)
def test_other_versions_read_as_a_version_but_mean_none(text):
    assert spells(ANY_VERSION, text)
    assert not any(one.spelled(text) for one in LABELS.values())


@pytest.mark.parametrize(
    "text",
    [
        "v",
        "vX",
        "vfoo",
        "x1",
        "1",
        "v1.",
        "v1.0.0",
        "v1-",
        "v1.0-prerelease-2",
        "v-1",
        "v1\n",
        "v1 ",
        "v\u0661",
        "studies",
        "",
    ],
)
def test_other_texts_are_no_version(text):
    assert not spells(ANY_VERSION, text)
    assert not any(one.spelled(text) for one in LABELS.values())


def test_labels_ascend_with_a_prerelease_before_its_release():
    ordered = ["v1.0-prerelease", "v1", "v2", "v2.1", "v10"]
    for order in itertools.permutations(LABELS.values()):
        assert [one.text for one in sorted(order)] == ordered


@pytest.mark.parametrize("text", ["1", "v01", "v1.", "V1", "v1-Beta", "v1.0.0", "", "v1\n"])
def test_a_manifest_must_write_a_label_plainly(text):
    assert Label.parse(text) is None


def test_a_pattern_holds_nothing_that_a_route_template_reads_differently():
    for pattern in (ANY_VERSION, *(one.pattern for one in LABELS.values())):
        assert not set(pattern) & set("{}:=/")
