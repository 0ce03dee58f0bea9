"""What a browser does before a page may use the service, and URLs behind a proxy."""

from __future__ import annotations

import httpx
import pytest

from tests.support.calls import multipart
from tests.support.files import synthetic_instance
from tests.support.served import served
from tests.support.storage import fresh_account

pytestmark = [pytest.mark.azurite, pytest.mark.served]

VIEWER, OTHER = "https://viewer.example.org", "https://other.example.org"
STUDY = "2.25.801"


@pytest.fixture(scope="module")
async def client(azurite):
    settings = {
        "DICOM_STORAGE": fresh_account(azurite.connection_string),
        "DICOM_CORS_ORIGINS": f"{VIEWER},http://localhost:3000",
        "DICOM_TRUST_FORWARDED": "on",
    }
    async with (
        served(settings) as running,
        httpx.AsyncClient(base_url=running.url, timeout=30, trust_env=False) as opened,
    ):
        yield opened


def preflight(origin: str, method: str, headers: str = "authorization,content-type") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


@pytest.mark.parametrize(
    ("path", "method"),
    [("v2/studies", "POST"), ("v1/studies/1.2/metadata", "GET"), ("v2/studies/1.2", "DELETE"), ("v2/nowhere", "PATCH")],
)
async def test_a_preflight_is_answered_before_anything_else(client, path, method):
    answer = await client.options(f"/{path}", headers=preflight(VIEWER, method))
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == VIEWER
    assert method in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "origin" in answer.headers["vary"].lower()


async def test_a_page_of_another_origin_gets_no_leave(client):
    answer = await client.options("/v2/studies", headers=preflight(OTHER, "POST"))
    assert "access-control-allow-origin" not in answer.headers
    answer = await client.get("/v2/studies", headers={"Origin": OTHER})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_page_may_read_what_it_gets_and_its_headers(client):
    body, headers = multipart([synthetic_instance(study_uid=STUDY)])
    lines = [*headers, ("Accept", "application/dicom+json"), ("Origin", VIEWER)]
    stored = await client.post("/v2/studies", content=body, headers=lines)
    assert stored.status_code == 200
    read = await client.get(f"/v2/studies/{STUDY}/metadata", headers={"Origin": VIEWER})
    missing = await client.get("/v2/studies/1.2.3/metadata", headers={"Origin": VIEWER})
    assert (read.status_code, missing.status_code) == (200, 404)
    for answer in (stored, read, missing):
        assert answer.headers["access-control-allow-origin"] == VIEWER
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "ETag" in answer.headers["access-control-expose-headers"]


async def test_an_options_request_that_is_no_preflight_is_the_service_s(client):
    answer = await client.options("/v2/studies")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


async def test_without_origins_nothing_is_said_to_pages(service):
    async with httpx.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as other:
        answer = await other.get("/v2/studies", headers={"Origin": OTHER})
        assert "access-control-allow-origin" not in answer.headers


async def test_urls_are_those_of_the_proxy_that_is_trusted(client):
    outer = {
        "X-Forwarded-Host": "pacs.example.org",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/imaging",
    }
    body, headers = multipart([synthetic_instance(study_uid="2.25.802")])
    lines = [*headers, ("Accept", "application/dicom+json"), *outer.items()]
    report = (await client.post("/v2/studies/2.25.802", content=body, headers=lines)).json()
    assert report["00081190"]["Value"] == ["https://pacs.example.org/imaging/studies/2.25.802"]
    change = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]}}
    update = {"studyInstanceUids": ["2.25.802"], "changeDataset": change}
    begun = await client.post("/v2/studies/$bulkUpdate", json=update, headers=outer)
    assert begun.json()["href"].startswith("https://pacs.example.org/imaging/operations/")
    listed = await client.get("/versions", headers={**outer, "Accept": "application/json"})
    assert "https://pacs.example.org/v2/" in listed.text


async def test_a_header_that_is_no_host_is_refused(client):
    answer = await client.get("/v2/studies", headers={"X-Forwarded-Host": "evil/../x"})
    assert answer.status_code == 400
    assert "X-Forwarded-Host" in answer.text
    assert "evil" not in answer.text
