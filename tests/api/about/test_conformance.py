"""What a statement says is what the tables of the service say; tests of the served host ask the service itself."""

from __future__ import annotations

import pytest
from pydicom.uid import UID

from shared.api import manifest
from shared.api.about import conformance, markdown, statement_retrieve, statement_search, statement_store
from shared.api.about.statement import SYNTAX_NAMES, Subject
from shared.dicom.attributes import Level
from shared.dicom.reasons import FailureReason, WarningReason
from shared.settings import Settings
from tests.api import made
from tests.api.about.reading import bound, tables
from tests.support.served import ROOT

SUBJECTS = [Subject(version, made.loaded(), Settings()) for version in made.loaded().versions]


def label_of(subject):
    return subject.version.label.text


every_version = pytest.mark.parametrize("subject", SUBJECTS, ids=label_of)


def text_of(subject):
    return markdown.write(conformance.page(subject)).content.decode()


@every_version
def test_every_operation_is_listed_with_its_request_and_all_its_statuses(subject):
    found = {
        row["Operation"]: row
        for heading, under in tables(text_of(subject)).items()
        if heading.startswith("Operations: ")
        for row in under[0]
    }
    assert set(found) == {row.operation for row in subject.version.rows}
    for row in subject.version.rows:
        endpoint = bound()[f"{subject.version.label.slug}_{row.operation}"]
        assert found[row.operation]["Request"] == f"{row.method} {row.path}"
        assert found[row.operation]["Partitioned"] == ("yes" if row.partitioned else "no")
        statuses = {int(status) for status in found[row.operation]["Statuses"].split(", ")}
        assert statuses == set(made.service(endpoint).statuses)
        for offer in made.service(endpoint).offers:
            assert offer.media_type in found[row.operation]["Answers in"]


@every_version
def test_every_parameter_is_listed_with_its_limits(subject):
    found = tables(text_of(subject))
    cells = [row for under in found.values() for table in under for row in table if "Parameter" in row]
    for row in subject.version.rows:
        for one in subject.inputs(row):
            if one.kind.value == "matching_key":
                continue
            limits = [] if one.maximum is None else [f"{one.minimum} to {one.maximum}"]
            limits += [] if one.default is None else [f"without it {str(one.default).lower()}"]
            listed = [cell for cell in cells if (cell["Parameter"], cell["Meaning"]) == (one.name, one.text)]
            fitting = [cell for cell in listed if all(limit in cell["Values"].split("; ") for limit in limits)]
            assert any(row.operation in cell["Operations"] or cell["Operations"] == "all" for cell in fitting)


def test_statements_differ_where_versions_behave_differently():
    strict, lenient = (text_of(subject) for subject in SUBJECTS[1:3])
    assert "warned_store_status: ok_200" in strict
    assert "warned_store_status: accepted_202" in lenient
    rows = {row["When"]: row["Status"] for row in tables(lenient)["Status of a store"][0]}
    assert rows["everything was stored, something with a WarningReason"] == "202"
    rows = {row["When"]: row["Status"] for row in tables(strict)["Status of a store"][0]}
    assert rows["everything was stored, something with a WarningReason"] == "200"


def test_only_a_version_that_warns_lists_the_warning():
    listed = {label_of(one): list(statement_store.warning_reasons(one.version.behaviours)) for one in SUBJECTS}
    assert listed["v1"] == listed["v1.0-prerelease"] == [WarningReason.SOP_CLASS_MISMATCH]
    assert listed["v2"] == [WarningReason.INVALID_ATTRIBUTES, WarningReason.SOP_CLASS_MISMATCH]


def test_every_reason_that_the_code_uses_has_its_meaning():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "shared").glob("*/*.py"))
    used = {one for one in FailureReason if f"FailureReason.{one.name}" in sources}
    assert used == set(statement_store.FAILURES)
    assert set(statement_store.WARNINGS) == set(WarningReason)


def test_the_codec_table_is_what_was_tried_on_files():
    """docs/transfer-syntaxes.md is written from answers of the service."""
    document = (ROOT / "docs" / "transfer-syntaxes.md").read_text(encoding="utf-8")
    table = document.partition("<!-- table -->")[2].partition("<!-- end of table -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| 1.2")]
    tried = {"1.2.840.10008." + row[0].split()[0] for row in rows if row[5].startswith("200")}
    assert len(tried) > 15
    assert set(statement_retrieve.decodable()) == tried


def test_transfer_syntaxes_have_their_names_from_the_dictionary():
    for uid in statement_retrieve.decodable():
        assert SYNTAX_NAMES[uid] == (UID(uid).name if UID(uid).name != uid else SYNTAX_NAMES[uid])
    assert "JPEG XL" in {SYNTAX_NAMES[uid] for uid in statement_retrieve.decodable()}


@every_version
def test_levels_of_a_search_follow_its_keys(subject):
    rows = {row.operation: row for row in subject.tagged("Search")}
    levels = {name: statement_search.levels_of(subject, row) for name, row in rows.items()}
    assert levels == {
        "searchStudies": (Level.STUDY,),
        "searchSeries": (Level.STUDY, Level.SERIES),
        "searchInstances": (Level.STUDY, Level.SERIES, Level.INSTANCE),
        "searchSeriesOfStudy": (Level.SERIES,),
        "searchInstancesOfStudy": (Level.SERIES, Level.INSTANCE),
        "searchInstancesOfSeries": (Level.INSTANCE,),
    }


def test_limits_are_those_of_the_app_that_says_it():
    small = Subject(SUBJECTS[0].version, made.loaded(), Settings(max_request_bytes=3 * 1024 * 1024))
    for subject, size in ((SUBJECTS[0], "209,715,200 bytes (200 MiB)"), (small, "3,145,728 bytes (3 MiB)")):
        (rows,) = tables(text_of(subject))["Limits"]
        assert {row["What"]: row["At most"] for row in rows}["Body of a request"] == size
    on = Subject(SUBJECTS[0].version, made.loaded(), Settings(data_partitions=True))
    assert "data partitions are on in this deployment" in text_of(on)
    assert "data partitions are off in this deployment" in text_of(small)


def test_a_deprecated_version_tells_its_end_and_the_headers_about_it(tmp_path):
    manifests = manifest.load(made.folder(tmp_path, v1=made.deprecate))
    for version in manifests.versions:
        found = tables(text_of(Subject(version, manifests, Settings())))
        life = {row["About"]: row["This version"] for row in found["Life cycle"][0]}
        headers = {row["Header"] for row in found["Headers of every answer"][0]}
        if version.label.text == "v1":
            assert (life["Status"], life["Stability"], life["Successor"]) == ("deprecated", "stable", "v2")
            assert (life["Deprecation announced"], life["May be gone from"]) == ("2027-01-01", "2028-01-02")
            assert {"Deprecation", "Sunset", "Link", "Warning"} <= headers
        else:
            assert "Successor" not in life
            assert not {"Deprecation", "Sunset", "Link", "Warning"} & headers
