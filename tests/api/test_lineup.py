from __future__ import annotations

import pytest

from shared.api import manifest
from shared.api.lineup import Lineup
from tests.api import made


def lineup(where) -> Lineup:
    return Lineup.of(manifest.load(where).versions)


def test_supported_versions_are_one_ascending_list(tmp_path):
    where = made.folder(tmp_path)
    assert lineup(where).headers_for("storeInstances") == (("api-supported-versions", "1.0-prerelease, 1, 2"),)


def test_one_line_moves_a_version_from_one_header_to_the_other(tmp_path):
    where = made.folder(tmp_path, v1__0_prerelease=made.deprecate)
    assert lineup(where).headers_for("storeInstances") == (
        ("api-supported-versions", "1, 2"),
        ("api-deprecated-versions", "1.0-prerelease"),
    )


def test_without_a_supported_version_there_is_no_such_header(tmp_path):
    where = made.folder(tmp_path, v1=made.deprecate)
    for name in ("v2.yaml", "v1.0-prerelease.yaml"):
        path = where / name
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("operation: retrieveSeries\n", "operation: retrieveRow\n"), encoding="utf-8")
    assert lineup(where).headers_for("retrieveSeries") == (("api-deprecated-versions", "1"),)


def test_headers_are_counted_per_operation(tmp_path):
    where = made.folder(tmp_path, v1=lambda text: text.replace("operation: retrieveStudy\n", "operation: readStudy\n"))
    assert lineup(where).headers_for("retrieveStudy") == (("api-supported-versions", "1.0-prerelease, 2"),)
    assert lineup(where).headers_for("readStudy") == (("api-supported-versions", "1"),)


@pytest.mark.parametrize(
    ("path", "operations"),
    [
        ("studies", {"searchStudies", "storeInstances"}),
        ("Studies/", {"searchStudies", "storeInstances"}),
        ("partitions/x/STUDIES", {"searchStudies", "storeInstances"}),
        ("studies/1.2", {"storeInstancesInStudy", "retrieveStudy", "deleteStudy"}),
        ("studies/1.2/metadata", {"retrieveStudyMetadata"}),
        ("api.yaml", {"getOpenApi"}),
        ("partitions/x/api.yaml", set()),
        ("studies//metadata", set()),
        ("", set()),
        ("nothing", set()),
    ],
)
def test_rows_are_found_by_path_in_every_version(path, operations):
    assert {found.row.operation for found in lineup(made.VERSIONS).at(path)} == operations


def test_a_retired_version_is_in_no_header(tmp_path):
    where = made.folder(tmp_path, v1__0_prerelease=made.retire, v1=made.deprecate)
    assert lineup(where).headers_for("storeInstances") == (
        ("api-supported-versions", "2"),
        ("api-deprecated-versions", "1"),
    )
