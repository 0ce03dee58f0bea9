from __future__ import annotations

import pytest

from shared.api import manifest
from shared.api.decode import ManifestError
from shared.behaviours import WarnedStoreStatus
from tests.api import made


def faults_of(where) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        manifest.load(where)
    return caught.value.faults


def line_of(where, file, text) -> int:
    lines = (where / file).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_the_real_files_load_ascending():
    versions = manifest.load(made.VERSIONS).versions
    assert [version.label for version in versions] == sorted(version.label for version in versions)
    retired = {end.label.text for end in manifest.load(made.VERSIONS).retired}
    files = {path.stem for path in made.VERSIONS.glob("v*.yaml")}
    assert {version.label.text for version in versions} == files - retired


def test_prerelease_and_v1_differ_in_nothing_but_their_promise_and_export():
    prerelease, v1, *_ = manifest.load(made.VERSIONS).versions
    assert prerelease.rows == tuple(row for row in v1.rows if row.operation != "exportStudies")
    assert len(prerelease.rows) == len(v1.rows) - 1
    assert prerelease.behaviours == v1.behaviours
    assert (prerelease.stability, v1.stability) == ("prerelease", "stable")


def test_v2_serves_the_rows_of_v1_but_for_the_change_feed_and_bulk_update_with_other_behaviour_words():
    _, v1, v2, *_ = manifest.load(made.VERSIONS).versions
    kept = [row for row in v2.rows if row.operation != "bulkUpdateStudies"]
    assert len(kept) == len(v2.rows) - 1
    changed = [
        (before.operation, after.operation) for before, after in zip(v1.rows, kept, strict=True) if before != after
    ]
    assert changed == [("getChangeFeed", "getChangeFeed")]
    assert v1.behaviours.warned_store_status is WarnedStoreStatus.OK_200
    assert v2.behaviours.warned_store_status is WarnedStoreStatus.ACCEPTED_202


def test_all_faults_of_all_files_are_told_at_once_with_file_and_line(tmp_path):
    where = made.folder(
        tmp_path,
        v1=lambda text: text.replace("nul_padding: invalid", "nul_padding: on").replace("GET", "FETCH", 1),
        v2=lambda text: text.replace("  patient_id: must_be_present\n", ""),
        shapes=lambda text: text.replace("type: uid", "type: uidd", 1),
    )
    found = faults_of(where)
    assert len(found) == 4
    assert any(
        fault.startswith(f"v1.yaml:{line_of(where, 'v1.yaml', 'nul_padding')}:") and "boolean" in fault
        for fault in found
    )
    assert any(fault.startswith(f"v1.yaml:{line_of(where, 'v1.yaml', 'FETCH')}:") for fault in found)
    assert any(fault.startswith("v2.yaml:") and "'patient_id' is missing" in fault for fault in found)
    assert any(fault.startswith(f"shapes.yaml:{line_of(where, 'shapes.yaml', 'uidd')}:") for fault in found)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("label: v1\n", "label: 1\n", "a text is due here, not a whole number"),
        ("label: v1\n", "label: v3\n", "must be named v3.yaml"),
        ("label: v1\n", "label: vnext\n", "not a fitting word"),
        ("stability: stable", "stability: yes", "boolean"),
        ("stability: stable", "stability: prerelease", "exactly when its stability is prerelease"),
        ("released: 2026-11-21", "released: soon", "a date is due here"),
        ("released: 2026-11-21", "released: 2026-11-21 10:00:00", "a date such as"),
        ("released: 2026-11-21", "released: 2026-13-45", "a date"),
        ("summary: Strict store; the first stable version.", "summary:", "a text is due here, not nothing"),
        ("nul_padding: invalid", "nul_padding: squeezed", "unknown word 'squeezed' for nul_padding"),
        ("nul_padding: invalid", "nul_paddin: invalid", "unknown key 'nul_paddin'"),
        ("nul_padding: invalid", "patient_id: must_be_present", "given twice"),
        ("routes:", "route:", "the key 'routes' is missing"),
        ("path: api.yaml", "path: /api.yaml", "not a fitting word"),
        ("path: api.yaml", "path: api.{yaml}", "neither a plain word"),
        ("path: api.yaml", "path: x/{nothingKnown}", "no path parameter is named"),
        ("path: api.yaml", "path: partitions/{partitionName}", "has no place here"),
        ("handler: api.get_open_api\n", "handler: os.system.x\n", "not a fitting word"),
        ("handler: api.get_open_api\n", "handler: Api.get\n", "not a fitting word"),
        ("operation: getOpenApiJson", "operation: getopenAPI", "is there twice"),
        ("body: dicomParts", "body: parts", "no body shape is named"),
        ("offers: dicomJson", "offers: json", "no offers shape is named"),
        ("takes: [accept]", "takes: [accept, accept]", "the same name"),
        ("takes: [accept]", "takes: [except]", "no parameter set is named"),
        ("takes: [accept]", "takes: accept", "a list is due here"),
        ("{200: openApiYaml}", "{200: openApiToml}", "no reply shape is named"),
        ("{200: openApiYaml}", "{ok: openApiYaml}", "a whole number is due here"),
        ("{200: openApiYaml}", "{20: openApiYaml}", "an HTTP status"),
        ("{200: openApiYaml}", "{200: metadata}", "the row has no offers"),
        ("{200: openApiYaml}", "{}", "returns something"),
        ("refuses: [400]", "refuses: [418]", "no problem shape is there for status 418"),
        ("refuses: [400]", "refuses: [400, 200]", "both returns and refuses"),
        ("partitioned: true", "partitioned: yes", "write true or false"),
        ("deprecation: null", "deprecation: {announced: 2027-01-01}", "'sunset' is missing"),
        ("deprecation: null", "deprecation: soon", "a mapping is due here"),
        ("deprecation: null", "deprecation: [", "not YAML"),
    ],
)
def test_a_fault_in_a_version_file_is_told(tmp_path, before, after, said):
    where = made.folder(tmp_path, v1=lambda text: text.replace(before, after, 1))
    found = faults_of(where)
    assert any(said in fault and fault.startswith("v1.yaml:") for fault in found), found


def test_aliases_are_refused_even_when_they_turn_in_a_circle(tmp_path):
    where = made.folder(tmp_path, v1=lambda text: text + "x: &a [*a]\n")
    assert any("aliases" in fault for fault in faults_of(where))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "{announced: 2026-01-01, sunset: 2028-01-01, successor: v2, read_more: https://a.example/}",
            "before it is released",
        ),
        (
            "{announced: 2028-01-01, sunset: 2028-01-01, successor: v2, read_more: https://a.example/}",
            "after the announcement",
        ),
        (
            "{announced: 2027-01-01, sunset: 2028-01-01, successor: v1, read_more: https://a.example/}",
            "not another version",
        ),
        (
            "{announced: 2027-01-01, sunset: 2028-01-01, successor: v7, read_more: https://a.example/}",
            "not another version",
        ),
        (
            "{announced: 2027-01-01, sunset: 2028-01-01, successor: v2, read_more: 'http://a.example/'}",
            "not a fitting word",
        ),
        (
            '{announced: 2027-01-01, sunset: 2028-01-01, successor: v2, read_more: "https://a/>, <b"}',
            "not a fitting word",
        ),
    ],
)
def test_a_deprecation_out_of_order_is_refused(tmp_path, line, said):
    where = made.folder(tmp_path, v1=lambda text: text.replace("deprecation: null", f"deprecation: {line}"))
    assert any(said in fault for fault in faults_of(where))


def test_two_files_of_the_same_version_are_refused(tmp_path):
    where = made.folder(tmp_path)
    twin = (where / "v1.yaml").read_text(encoding="utf-8").replace("label: v1\n", "label: v1.0\n")
    (where / "v1.0.yaml").write_text(twin, encoding="utf-8")
    assert any("means the same version" in fault for fault in faults_of(where))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "default_syntax: 1.2.840.10008.1.2.1",
            "default_syntax: 1.2.840.10008.1.2.2",
            "not among the transfer syntaxes",
        ),
        ("default_syntax: 1.2.840.10008.1.2.1", "default_syntax: 1.2", "a text is due here, not a number"),
        ("wildcard: true", "wildcard: maybe", "a boolean is due here"),
        ("schema: Binary", "schema: Binari", "no schema is named 'Binari'"),
        ("headers: [ETag, Vary]", "headers: [Etag, Vary]", "no header is named 'Etag'"),
        ("#/components/schemas/DicomElement", "#/components/schemas/Gone", "points to 'Gone'"),
        ("in: query", "in: cookie", "query or header is due here"),
        ("binds: study_uid\n    ", "", "'binds' is missing"),
        ("      binds: if_none_match\n", "", "'binds' is due"),
        ("      type: text\n", "      type: text\n      minimum: 3\n", "for whole numbers"),
        ("default: true", "default: 1", "a boolean is due here"),
        ("type: integer, example: 5}", "type: int, example: 5}", "not a fitting word"),
    ],
)
def test_a_fault_in_the_shapes_is_told(tmp_path, before, after, said):
    where = made.folder(tmp_path, shapes=lambda text: text.replace(before, after, 1))
    found = faults_of(where)
    assert any(said in fault and fault.startswith("shapes.yaml:") for fault in found), found


@pytest.mark.parametrize("word", ["v9", "no", "v1.0"])
def test_unversioned_routes_can_only_be_bound_to_a_version_there_is(tmp_path, word):
    where = made.folder(tmp_path, service=lambda text: text.replace("routes: refused", f"routes: {word}"))
    assert any(fault.startswith("service.yaml:") for fault in faults_of(where))


def test_a_folder_without_files_is_a_fault_not_an_accident(tmp_path):
    found = faults_of(tmp_path)
    assert any("shapes.yaml" in fault for fault in found)
    assert any("no version file" in fault for fault in found)


def test_bytes_that_are_no_text_are_a_fault(tmp_path):
    where = made.folder(tmp_path)
    (where / "v1.yaml").write_bytes(b"label: \xff\xfe")
    assert any(fault.startswith("v1.yaml:") for fault in faults_of(where))
