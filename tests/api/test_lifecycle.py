from __future__ import annotations

from dataclasses import asdict
from datetime import date

import pytest
import yaml

from shared.api import manifest
from tests.api import made
from tests.api.test_manifest import faults_of

LINE = "{on: 2028-01-02, successor: v2, read_more: https://a.example/}"


def test_a_retired_file_is_read_with_its_key_on(tmp_path):
    manifests = manifest.load(made.folder(tmp_path, v1=made.retire))
    (end,) = manifests.retired
    assert (end.label.text, end.on, end.successor, end.read_more) == ("v1", date(2028, 1, 2), "v2", made.READ_MORE)
    assert [version.label.text for version in manifests.versions] == ["v1.0-prerelease", "v2"]


def test_the_real_files_end_as_their_lines_say():
    found = {path.stem: yaml.safe_load(path.read_bytes()) for path in made.VERSIONS.glob("v*.yaml")}
    retired = {label for label, file in found.items() if "retired" in file}
    assert {end.label.text for end in made.loaded().retired} == retired
    for version in made.loaded().versions:
        written = found[version.label.text]["deprecation"]
        assert (asdict(version.deprecation) if version.deprecation else None) == written


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (LINE.replace("on: 2028-01-02, ", ""), "the key 'on' is missing"),
        (LINE.replace("on:", "yes:"), "a text is due here, not a boolean"),
        (LINE.replace("{", "{'on': 2028-01-03, "), "the key 'on' is given twice"),
        (LINE.replace("2028-01-02", "soon"), "a date is due here"),
        (LINE.replace("2028-01-02", "2028-02-30"), "a date such as"),
        (LINE.replace("successor: v2, ", ""), "the key 'successor' is missing"),
        (LINE.replace("v2", "v1"), "not another version"),
        (LINE.replace("v2", "v7"), "not another version"),
        (LINE.replace("v2", "2"), "a text is due here"),
        (LINE.replace("https:", "http:"), "not a fitting word"),
        (LINE.replace("https://a.example/", "https://"), "not a fitting word"),
        (LINE.replace("https://a.example/", "'https://a.example/>; rel=x'"), "not a fitting word"),
        (LINE.replace("https://a.example/", "'https://a.example/\"'"), "not a fitting word"),
        (f"{LINE}\nroutes: []", "unknown key 'routes'"),
        ("soon", "a mapping is due here"),
    ],
)
def test_a_fault_in_a_retired_file_is_told(tmp_path, line, said):
    where = made.folder(tmp_path, v1=lambda _text: f"label: v1\nretired: {line}\n")
    found = faults_of(where)
    assert any(said in fault and fault.startswith("v1.yaml:") for fault in found), found


def test_a_retired_file_is_named_like_its_label_which_no_other_file_has(tmp_path):
    where = made.folder(tmp_path)
    (where / "v2.0.yaml").write_text(f"label: v2.00\nretired: {LINE}\n".replace("v2,", "v1,"), encoding="utf-8")
    (where / "v3.yaml").write_text(f"label: v3.0\nretired: {LINE}\n", encoding="utf-8")
    (where / "v1.0.yaml").write_text(f"label: v1.0\nretired: {LINE}\n", encoding="utf-8")
    found = faults_of(where)
    assert any("'v2.00' is not a label" in fault for fault in found)
    assert any("the file of v3.0 must be named v3.0.yaml" in fault for fault in found)
    assert any("v1.0 means the same version as another file" in fault for fault in found)


def test_faults_of_all_ends_are_told_at_once_at_their_lines(tmp_path):
    where = made.folder(
        tmp_path,
        v1__0_prerelease=lambda text: made.retire(text).replace("v2", "v1"),
        v1=lambda text: made.retire(text).replace("2028-01-02", "'2028-01-02'"),
        v2=lambda text: text.replace(
            "deprecation: null",
            "deprecation:\n  announced: 2026-01-01\n  sunset: 2025-01-01\n  successor: v1\n  read_more: http://x",
        ),
    )
    found = faults_of(where)
    assert len(found) == 6, found
    for said in (
        "v1.0-prerelease.yaml:2: the successor 'v1' is retired itself",
        "v2.yaml:8: the successor 'v1' is retired itself",
        "a date is due here, not a text",
        "before it is released",
        "the sunset must come after the announcement",
        "'http://x' is not a fitting word here",
    ):
        assert any(said in fault for fault in found), (said, found)


def test_unversioned_routes_cannot_be_those_of_a_retired_version(tmp_path):
    where = made.folder(
        tmp_path,
        v1=made.retire,
        service=lambda text: text.replace("unversioned_routes: refused", "unversioned_routes: v1"),
    )
    assert any(fault.startswith("service.yaml:") for fault in faults_of(where))


def test_not_every_version_can_be_retired(tmp_path):
    edits = dict.fromkeys(("v1__0_prerelease", "v1", "v2"), made.retire)
    found = faults_of(made.folder(tmp_path, **edits))
    assert sum("is retired itself" in fault for fault in found) == 2
    assert sum("'v2' is not another version" in fault for fault in found) == 1


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("Sunset: {type: string}", "a text is due"),
        ("Sunset: {of_deprecated: yes}", "a text is due here, not a boolean"),
        ("Sunset: {text: null}", "not nothing"),
    ],
)
def test_a_header_without_words_is_refused(tmp_path, entry, said):
    where = made.folder(tmp_path, shapes=lambda text: text.replace("  Sunset:\n", f"  {entry}\n  Sunsets:\n"))
    assert any(said in fault and fault.startswith("shapes.yaml:") for fault in faults_of(where))
