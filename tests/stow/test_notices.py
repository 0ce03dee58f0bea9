"""Messages about new files, without storage."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from shared.settings import Settings
from shared.storage.account import account_of
from shared.storage.client import StorageClient
from shared.storage.dropped import Dropped, failed_name, outcome_name, stored_name
from shared.stow.notices import BadNotice, notice, paths_of

AZURE = Settings(storage_connection="", storage_account="hospital")
EMULATOR = Settings()
PATH = "clinic/a b/IM0001.dcm"


def dropped(settings: Settings = AZURE) -> Dropped:
    return Dropped(StorageClient(account_of(settings)), "dicom-import")


def event(path: str = PATH, container: str = "dicom-import", **data: Any) -> dict[str, Any]:
    """As Event Grid's own schema has it."""
    url = f"https://hospital.blob.core.windows.net/{container}/{path}"
    return {
        "topic": "/subscriptions/0/resourceGroups/r/providers/Microsoft.Storage/storageAccounts/hospital",
        "subject": f"/blobServices/default/containers/{container}/blobs/{path}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "id": "831e1650-001e-001b-66ab-eeb76e069631",
        "data": {"api": "PutBlockList", "url": url, "contentLength": 524288, "blobType": "BlockBlob", **data},
        "dataVersion": "",
        "metadataVersion": "1",
        "eventTime": "2026-11-22T10:15:30.1234567Z",
    }


def cloud_event(path: str = PATH) -> dict[str, Any]:
    """As CloudEvents 1.0 has it."""
    own = event(path)
    return {
        "specversion": "1.0",
        "type": own["eventType"],
        "source": own["topic"],
        **{key: own[key] for key in ("subject", "id", "data")},
    }


@pytest.mark.parametrize("form", [event, cloud_event])
def test_an_event_names_its_file(form):
    assert paths_of(json.dumps(form()), dropped()) == [PATH]


def test_an_array_names_each_file_once():
    events = [event("1"), cloud_event("2"), event("1"), event("3", container="other")]
    assert paths_of(json.dumps(events), dropped()) == ["1", "2"]


def test_base64_is_taken_off():
    assert paths_of(base64.b64encode(json.dumps(event()).encode()).decode(), dropped()) == [PATH]


@pytest.mark.parametrize("settings", [AZURE, EMULATOR])
def test_our_own_messages_are_understood(settings):
    there = dropped(settings)
    assert paths_of(notice("a b/ä?#%.dcm", there), there) == ["a b/ä?#%.dcm"]


@pytest.mark.parametrize(
    "changed",
    [
        event(container="dicom-import2"),
        event(container="dicom"),
        {**event(), "eventType": "Microsoft.Storage.BlobDeleted"},
        {**event(), "subject": f"/blobServices/default/containers/dicom/blobs/{PATH}"},
        {**event(), "subject": 3},
        {**event(), "data": None},
        event(url=None),
        event(url="https://elsewhere.blob.core.windows.net/dicom-import/x"),
        event(url="https://hospital.blob.core.windows.net.evil.example/dicom-import/x"),
        event(url="http://169.254.169.254/dicom-import/x"),
        event(url="https://[/dicom-import/x"),
        event(api="CreateFile"),
        event(api="SftpCreate"),
        event(path="../dicom/0/secret"),
        event(path="a/./b"),
        event(path=""),
    ],
)
def test_other_events_name_no_file(changed):
    assert paths_of(json.dumps(changed), dropped()) == []


def test_events_of_accounts_with_folders_name_the_other_endpoint():
    url = f"https://hospital.dfs.core.windows.net/dicom-import/{PATH}"
    assert paths_of(json.dumps(event(api="FlushWithClose", url=url)), dropped()) == [PATH]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "3", "null", '["a"]', "bm8gSlNPTg==", "{"])
def test_what_is_no_event_is_told(text):
    with pytest.raises(BadNotice):
        paths_of(text, dropped())


def test_results_have_the_path_in_their_names_as_long_as_that_fits():
    assert outcome_name("a/b.dcm") == "outcomes/a/b.dcm.json"
    assert (failed_name("a"), stored_name("a")) == ("failed/a", "stored/a")
    assert len(outcome_name("x" * 1010)) == 1024
    assert outcome_name("x" * 1011).startswith("outcomes/~")
    # What is one character to people may be two to storage.
    assert outcome_name("🩻" * 506).startswith("outcomes/~")
    assert outcome_name("x" * 1011) != outcome_name("x" * 1012)
