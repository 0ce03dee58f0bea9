"""An app with a deprecated and a retired version, through real HTTP (RFC 9745, RFC 8594; contract a.3)."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import yaml

from tests.api import made as files
from tests.api.test_farewell import WARNING
from tests.api.test_labels import SPELLINGS
from tests.served.conftest import TIMEOUT_SECONDS
from tests.support.clients import failure_reasons, made, new_uid, store, stored_items
from tests.support.served import ROOT, Service, started

pytestmark = [pytest.mark.served, pytest.mark.azurite]


@pytest.fixture(scope="module")
def ending(tmp_path_factory) -> Iterator[Service]:
    """The app with v1 deprecated and v1.0-prerelease retired; its settings still name all three."""
    app = tmp_path_factory.mktemp("app")
    for name in ("function_app.py", "host.json"):
        shutil.copy(ROOT / name, app)
    shutil.copytree(ROOT / "shared", app / "shared", ignore=shutil.ignore_patterns("__pycache__"))
    files.folder(app, v1=files.deprecate, v1__0_prerelease=files.retire)
    with started({"DICOM_API_VERSIONS": "v1.0-prerelease,v1,v2"}, app) as running:
        yield running


@pytest.fixture(scope="module")
async def caller(ending) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=ending.url, timeout=TIMEOUT_SECONDS, trust_env=False) as opened:
        yield opened


def expect_farewell(answer: httpx.Response, root: str) -> None:
    assert answer.headers["api-supported-versions"] == "2"
    assert answer.headers["api-deprecated-versions"] == "1"
    assert answer.headers["deprecation"] == "@1798761600"
    assert answer.headers["sunset"] == "Sun, 02 Jan 2028 00:00:00 GMT"
    assert WARNING in answer.headers.get_list("warning")
    expect_links(answer, root)


def expect_links(answer: httpx.Response, root: str) -> None:
    targets = {name: link["url"] for name, link in answer.links.items()}
    assert targets == {
        "deprecation": files.READ_MORE,
        "sunset": files.READ_MORE,
        "successor-version": f"{root}/v2/api.yaml",
    }


async def test_a_deprecated_version_works_and_says_so_on_every_answer(caller, ending):
    instance = made()
    dicom = {"Content-Type": "application/dicom"}
    answers = {
        200: await caller.post("/v1/studies", content=instance.content, headers=dicom),
        204: await caller.post("/v1/studies", content=b"", headers=dicom),
        409: await caller.post("/v1/studies", content=instance.content, headers=dicom),
        400: await caller.get("/v1/studies/abc"),
        404: await caller.get(f"/v1.0/studies/{new_uid()}"),
        405: await caller.put("/v1/studies"),
        406: await caller.get(f"/V1{instance.path}", headers={"Accept": "image/png"}),
        415: await caller.post("/v1/studies", content=b"x", headers={"Content-Type": "text/plain"}),
    }
    assert {answer.status_code for answer in answers.values()} == set(answers)
    streamed = await caller.get(f"/v1{instance.path}", headers={"Accept": "application/dicom"})
    nowhere = await caller.get("/v1/nothing/here")
    assert (streamed.status_code, nowhere.status_code) == (200, 404)
    for answer in (*answers.values(), streamed, nowhere):
        expect_farewell(answer, ending.url)


async def test_the_link_to_the_successor_stays_on_the_callers_host_and_works(caller):
    answer = await caller.get("/v1/studies", headers={"Host": "pacs.example"})
    expect_farewell(answer, "http://pacs.example")
    link = httpx.URL((await caller.get("/v1/studies")).links["successor-version"]["url"])
    followed = await caller.get(link)
    assert (followed.status_code, "sunset" in followed.headers) == (200, False)


async def test_a_warning_about_the_stored_stays_beside_that_of_the_version(caller):
    answer = await store(caller, "/v1", [made(patient_id="ID-1\\ID-2").content])
    assert (answer.status_code, failure_reasons(answer.json())) == (200, [])
    assert len(stored_items(answer.json())) == 1
    own, *more = [line for line in answer.headers.get_list("warning") if line != WARNING]
    assert (own.startswith("299 127.0.0.1: "), "PatientID" in own, more) == (True, True, [])
    expect_farewell(answer, str(answer.url.copy_with(path="/")).rstrip("/"))


async def test_the_document_of_a_deprecated_version_tells_clients_and_says_so_itself(caller, ending):
    answer = await caller.get("/v1/api.yaml")
    expect_farewell(answer, ending.url)
    document = yaml.load(answer.text, Loader=yaml.CSafeLoader)
    # Operations outside any version stay when a version goes.
    items = [item for path, item in document["paths"].items() if path.startswith("/v1/")]
    operations = [operation for item in items for operation in item.values()]
    assert {(one["deprecated"], one["x-sunset"]) for one in operations} == {(True, "2028-01-02")}
    answer = await caller.get("/v2/api.json")
    operations = [operation for item in answer.json()["paths"].values() for operation in item.values()]
    assert not any("deprecated" in one or "x-sunset" in one for one in operations)


@pytest.mark.parametrize("spelling", SPELLINGS["v1.0-prerelease"])
async def test_a_retired_version_is_410_under_every_spelling(caller, ending, spelling):
    answers = [
        await caller.get(f"/{spelling}/studies"),
        await caller.post(
            f"/{spelling}/studies", content=made().content, headers={"Content-Type": "application/dicom"}
        ),
        await caller.get(f"/{spelling}/api.yaml"),
        await caller.delete(f"/{spelling}/a/b/c"),
        await caller.get(f"/{spelling}"),
    ]
    for answer in answers:
        assert answer.status_code == 410
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text.startswith("Version 1.0-prerelease was retired on 2028-01-02. Use version 2;")
        assert answer.headers["api-supported-versions"] == "2"
        assert not {"deprecation", "sunset", "warning"} & set(answer.headers)
        expect_links(answer, ending.url)


async def test_the_version_that_stays_names_both_lists_and_no_end(caller):
    answer = await caller.get("/v2/studies")
    assert (answer.headers["api-supported-versions"], answer.headers["api-deprecated-versions"]) == ("2", "1")
    assert not {"deprecation", "sunset", "link", "warning"} & set(answer.headers)


async def test_a_version_that_never_was_stays_400(caller):
    answer = await caller.get("/v1.1-prerelease/studies")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "UnsupportedApiVersion")


async def test_the_service_tells_which_versions_end_and_their_pages_say_so(caller, ending):
    items = {item["label"]: item for item in (await caller.get("/versions")).json()["versions"]}
    assert {label: item["status"] for label, item in items.items()} == {
        "v1.0-prerelease": "retired",
        "v1": "deprecated",
        "v2": "stable",
    }
    assert (items["v1"]["sunset"], items["v1"]["successor"]) == ("2028-01-02", "v2")
    assert items["v1.0-prerelease"]["links"] == {"readMore": files.READ_MORE}
    for path in ("/v1/docs", "/v1/conformance"):
        page = await caller.get(path)
        assert page.status_code == 200
        expect_farewell(page, ending.url)
        assert "may be gone from 2028-01-02 on" in page.text
        assert "may be gone from" not in (await caller.get(path.replace("v1", "v2"))).text
    refused = await caller.get("/changes?from=v1.0-prerelease&to=v2")
    assert (refused.status_code, "v1.0-prerelease is retired" in refused.text) == (400, True)
    assert (await caller.get("/changes?from=v1&to=v2")).status_code == 200
