"""What a statement says is what the tables of the service say; tests of the served host ask the service itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom.uid import UID

from shared.api import manifest
from shared.api.about import conformance, markdown, statement_retrieve, statement_search, statement_store
from shared.api.about.statement import SYNTAX_NAMES, Subject
from shared.dicom.attributes import Level
from shared.dicom.extendedtags import ALLOWED_VRS, TIME_VRS
from shared.dicom.reasons import FailureReason, WarningReason
from shared.edits import change_set
from shared.edits.export import log_name, results_folder
from shared.operations.handlers import FINISHED_WORDS
from shared.querytags.bodies import new_tags
from shared.settings import AccessSettings, Settings
from shared.storage import oldoperations, tagset
from shared.storage.destinationaddress import Access
from shared.storage.operations import OperationKind, OperationStatus
from tests.api import made
from tests.api.about.reading import bound, tables, tags_of
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


@every_version
def test_every_operation_is_in_the_table_of_data_actions_once(subject):
    (table,) = tables(text_of(subject))["Security"]
    listed = [name for row in table for name in row["Operations"].split(", ")]
    assert sorted(listed) == sorted(row.operation for row in subject.version.rows)
    allowed = {row["Data action"]: row["Operations"].split(", ") for row in table}
    assert "deleteStudy" in allowed["delete"]
    assert "getOpenApi" in allowed["anyone"]


def test_the_statement_tells_whether_tokens_are_asked_for():
    access = AccessSettings(on=True, authority="https://login.example", audiences=("api://one",))
    on = text_of(Subject(SUBJECTS[0].version, made.loaded(), Settings(access=access)))
    assert "Access control is on in this deployment" in on
    assert "https://login.example" in on
    assert "Access control is off in this deployment" in text_of(SUBJECTS[0])


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


def served_by(subject, operation):
    return any(row.operation == operation for row in subject.version.rows)


@every_version
def test_tags_are_told_with_every_vr_level_and_the_limit(subject):
    about, vrs = tables(text_of(subject))["Extended query tags"]
    told = {row["About"]: row["This version"] for row in about}
    assert told["Levels"] == "study, series, instance"
    assert told["Tags"] == f"at most {tagset.MOST}"
    assert {row["VR of a tag"] for row in vrs} == ALLOWED_VRS
    matching = {row["VR of a tag"]: row["Matching"] for row in vrs}
    ranged = {vr for vr in ALLOWED_VRS if "range" in matching[vr]}
    assert ranged == TIME_VRS
    for vr in ranged:
        body = [{"path": "00091001", "vr": vr, "privateCreator": "A", "level": "Study"}]
        assert new_tags(body)[0].vr == vr


@every_version
def test_bulk_update_is_told_of_where_there_is_one_with_what_can_be_changed(subject):
    found = tables(text_of(subject)).get("Bulk update")
    assert (found is not None) == served_by(subject, "bulkUpdateStudies")
    if found is None:
        return
    about, attributes = found
    told = {row["About"]: row["This version"] for row in about}
    assert told["Studies in a request"] == f"1 to {change_set.MOST_STUDIES}"
    assert told["Body of a request"] == "at most 1,048,576 bytes"
    listed = [row["Attribute that can be changed"] for row in attributes]
    assert {int(tag, 16) for tag in tags_of(listed)} == change_set.CHANGEABLE
    assert len(listed) == 36


@every_version
def test_export_is_told_of_where_there_is_one_with_destinations_and_layout(subject):
    found = tables(text_of(subject)).get("Export")
    assert (found is not None) == served_by(subject, "exportStudies")
    if found is None:
        return
    destinations, layout, _about = found
    assert {row["Destination"] for row in destinations} == {access.value for access in Access}
    names = [row["Blob"] for row in layout]
    assert names == ["{operationId}/results/{study}/{series}/{instance}.dcm", "{operationId}/errors.log"]
    assert names == [
        f"{results_folder('{operationId}')}/{{study}}/{{series}}/{{instance}}.dcm",
        log_name("{operationId}"),
    ]
    chosen = replace(subject, settings=Settings(export=False, export_destinations=("sas",)))
    text = text_of(chosen)
    assert "off: requests are answered with 404" in text
    taken = {row["Destination"]: row["Taken here"] for row in tables(text)["Export"][0]}
    assert taken == {"identity": "no", "sas": "yes", "emulator": "no"}


@every_version
def test_operations_are_told_of_in_the_words_of_the_version(subject):
    statuses, kinds = tables(text_of(subject))["Operations"]
    word = FINISHED_WORDS[subject.version.behaviours.finished_operation_word]
    expected = {status.value for status in OperationStatus} - {"succeeded"} | {word}
    assert {row["Status of an operation"] for row in statuses} == expected
    assert {row["Type"] for row in kinds} == {kind.value for kind in OperationKind}
    assert f"known for {oldoperations.KEPT.days} days after its end" in text_of(subject)
