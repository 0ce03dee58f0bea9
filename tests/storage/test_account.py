"""Accounts from settings, and signatures that the SDKs agree with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy as BlobPolicy

from shared.settings import Settings, SettingsError
from shared.storage.account import EMULATOR_KEY, account_of, sign_blob


def settings(connection: str) -> Settings:
    return Settings(storage_connection=connection)


def test_the_short_form_of_the_emulator_is_its_default_ports():
    account = account_of(settings("UseDevelopmentStorage=true;"))
    assert account.blob_url == "http://127.0.0.1:10000/devstoreaccount1"
    assert account.table_url == "http://127.0.0.1:10002/devstoreaccount1"


def test_a_cloud_connection_string_gives_the_endpoints_of_its_suffix():
    account = account_of(
        settings(f"AccountName=hospital;AccountKey={EMULATOR_KEY};EndpointSuffix=core.usgovcloudapi.net")
    )
    assert account.blob_url == "https://hospital.blob.core.usgovcloudapi.net"
    assert account.table_url == "https://hospital.table.core.usgovcloudapi.net"


def test_an_account_name_alone_means_a_managed_identity():
    account = account_of(Settings(storage_connection="", storage_account="hospital"))
    assert account.key is None
    assert account.blob_url == "https://hospital.blob.core.windows.net"


@pytest.mark.parametrize("text", ["", "AccountName=a", "AccountKey=YQ==", "AccountName=a;AccountKey=%%%", "nonsense"])
def test_a_connection_string_that_cannot_work_is_refused(text):
    with pytest.raises(SettingsError):
        account_of(settings(text))


class _Request:
    def __init__(self, method: str, url: str, headers: dict[str, str]) -> None:
        self.method, self.url, self.headers = method, url, dict(headers)
        self.http_request = self
        self.query = dict(pair.partition("=")[::2] for pair in url.partition("?")[2].split("&") if pair)
        self.context = SimpleNamespace(transport=None)


@pytest.mark.parametrize(
    ("method", "query", "headers"),
    [
        ("GET", "", {"x-ms-range": "bytes=0-9"}),
        (
            "PUT",
            "",
            {"Content-Length": "12", "Content-Type": "application/octet-stream", "x-ms-blob-type": "BlockBlob"},
        ),
        ("PUT", "?comp=block&blockid=MDAwMDAwMDA%3D", {"Content-Length": "4", "x-ms-meta-version": "1"}),
        ("GET", "?restype=container", {}),
    ],
)
def test_blob_signatures_equal_the_sdk_s(method, query, headers):
    account = account_of(settings("UseDevelopmentStorage=true"))
    url = f"{account.blob_url}/dicom/0/writer/1/blob{query}"
    request = _Request(method, url, {"x-ms-version": "2021-12-02", **headers})
    BlobPolicy(account.name, EMULATOR_KEY).on_request(request)
    theirs = request.headers.pop("Authorization")
    assert sign_blob(account, method, url, request.headers) == theirs
