"""By which rules dropped files are judged."""

from __future__ import annotations

import pytest

from shared.api.decode import ManifestError
from shared.api.imports import conduct_of
from shared.behaviours import InvalidSearchableValue, PatientIdRule
from shared.settings import ImportSettings, Settings, SettingsError
from tests.support.versions import MANIFESTS


def conduct(**options):
    return conduct_of(MANIFESTS, Settings(imports=ImportSettings(**options)))


def test_the_newest_stable_version_judges():
    stable = [version for version in MANIFESTS.versions if version.stability == "stable"]
    assert conduct().rules.patient_id is stable[-1].behaviours.patient_id
    assert conduct().rules == conduct(version=stable[-1].label.text).rules


@pytest.mark.parametrize("spelling", ["v1", "V1.0", "v1-prerelease"])
def test_another_version_judges_when_it_is_named(spelling):
    rules = conduct(version=spelling).rules
    assert rules.patient_id is PatientIdRule.MUST_HAVE_A_VALUE
    assert rules.invalid_searchable_value is InvalidSearchableValue.FAIL_INSTANCE


def test_a_version_that_never_was_stops_the_app():
    with pytest.raises(ManifestError, match="DICOM_IMPORT_VERSION"):
        conduct(version="v77")


def test_stored_files_are_kept_on_demand():
    assert (conduct().keep_stored, conduct(keep_stored=True).keep_stored) == (False, True)


def read(**settings):
    return Settings.from_env({"DICOM_STORAGE": "UseDevelopmentStorage=true", **settings}).imports


def test_settings_of_imports_are_read():
    assert read() == ImportSettings()
    changed = read(
        DICOM_IMPORT="off", DICOM_IMPORT_CONTAINER="drop-1", DICOM_IMPORT_VERSION="v1", DICOM_IMPORT_STORED="keep"
    )
    assert changed == ImportSettings(on=False, container="drop-1", version="v1", keep_stored=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"DICOM_IMPORT": "maybe"},
        {"DICOM_IMPORT_STORED": "maybe"},
        {"DICOM_IMPORT_CONTAINER": "Capital"},
        {"DICOM_IMPORT_CONTAINER": "a--b"},
        {"DICOM_IMPORT_CONTAINER": "ab"},
        {"DICOM_IMPORT_CONTAINER": "x" * 56},
        {"DICOM_IMPORT_CONTAINER": "dicom-jobs"},
        {"DICOM_IMPORT_CONTAINER": "dicom"},
        {"DICOM_CONTAINER": "dicom-import-results"},
    ],
)
def test_settings_that_cannot_be_used_stop_the_app(settings):
    with pytest.raises(SettingsError, match="DICOM_IMPORT"):
        read(**settings)
