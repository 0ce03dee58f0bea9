"""What the service says of itself, against what it does: pages and lists through real HTTP, each sentence tried."""

from __future__ import annotations

import asyncio
import itertools
import warnings
from typing import Any

import httpx
import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from tests.api.about.reading import Names, Row, tables, tags_of
from tests.support import versions
from tests.support.clients import (
    DICOM_JSON,
    VERSIONS,
    Made,
    failure_reasons,
    made,
    store,
    warning_reasons,
)
from tests.support.images import shipped

pytestmark = [pytest.mark.served, pytest.mark.azurite]

# A value that may stand in a search, and one that may stand in a file, by VR.
SEARCHED = {"UI": "1.2.3", "DA": "20240229", "PN": "Nobody^Here", "CS": "CT", "LO": "nothing", "SH": "nothing"}
STORED: dict[str, Any] = {
    **SEARCHED,
    "TM": "101500",
    "AS": "044Y",
    "DS": "70.5",
    "IS": "3",
    "LT": "text",
    "US": 1,
    "SQ": [Dataset()],
}
# What has a value of its own in what is made here, or is none that a file has.
KEPT = {"SpecificCharacterSet", "SOPClassUID", "BitsAllocated", "Rows", "Columns", "NumberOfFrames"}


async def statement(client: httpx.AsyncClient, version: str) -> dict[str, list[list[Row]]]:
    answer = await client.get(f"/{version}/conformance", headers={"Accept": "text/markdown"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/markdown; charset=utf-8")
    return tables(answer.text)


def paths_of(found: dict[str, list[list[Row]]], group: str, **values: str) -> dict[str, str]:
    """Operations of a group with their paths, filled in."""
    (rows,) = found[f"Operations: {group}"]
    return {row["Operation"]: row["Request"].partition(" ")[2].format(**values) for row in rows}


async def test_a_listed_search_key_is_taken_and_another_one_is_400(client, version):
    found = await statement(client, version)
    paths = paths_of(found, "Search", studyInstanceUid="1.2", seriesInstanceUid="1.3")
    (keys,) = found["Search keys"]
    assert len(keys) >= 14
    asked = [(row, operation, path) for row in keys for operation, path in paths.items()]

    async def ask(row: Row, path: str, *, as_tag: bool) -> int:
        name = tags_of([row["Attribute"]])[0] if as_tag else row["Attribute"].partition(" ")[0]
        answer = await client.get(f"/{version}/{path}", params={name: SEARCHED[row["VR"]], "limit": "1"})
        return int(answer.status_code)

    statuses = await asyncio.gather(*(ask(row, path, as_tag=len(path) % 2 == 0) for row, _, path in asked))
    for (row, operation, _), status in zip(asked, statuses, strict=True):
        assert (status in (200, 204)) == (row[operation] == "yes"), (row["Attribute"], operation, status)
        assert status in (200, 204, 400)
    for path in paths.values():
        for keyword in ("StudyTime", "SOPClassUID", "InstanceNumber"):
            assert not [row for row in keys if row["Attribute"].startswith(keyword)]
            assert (await client.get(f"/{version}/{path}", params={keyword: "1"})).status_code == 400


async def rich(client: httpx.AsyncClient, version: str, found: dict[str, list[list[Row]]]) -> Made:
    """A stored instance that has every attribute that a search can give."""
    cells = [row for table in found["Returned attributes"] for row in table if "Given" in row]
    tags = tags_of([next(iter(row.values())) for row in cells if "computed" not in row["Given"]])
    extra = {
        keyword: STORED[dictionary_VR(tag)]
        for tag in (int(text, 16) for text in tags)
        if (keyword := keyword_for_tag(tag)) not in KEPT and dictionary_VR(tag) != "UI"
    }
    instance = made(frames=2, columns=2, extra={**extra, "TimezoneOffsetFromUTC": "+0100"})
    answer = await store(client, f"/{version}", [instance.content])
    assert (answer.status_code, failure_reasons(answer.json())) == (200, []), answer.text
    return instance


async def test_a_match_carries_exactly_the_attributes_that_are_listed(client, version):
    found = await statement(client, version)
    instance = await rich(client, version, found)
    levels_table, *sets = found["Returned attributes"]
    sets_of = {next(iter(table[0])).rpartition(" ")[2]: table for table in sets}
    assert list(sets_of) == ["study", "series", "instance"]
    paths = paths_of(found, "Search", studyInstanceUid=instance.study_uid, seriesInstanceUid=instance.series_uid)
    assert [row["Operation"] for row in levels_table] == list(paths)
    for row in levels_table:
        levels = row["Sets"].split(", ")
        cells = [cell for level in levels for cell in sets_of[level]]
        by_default = tags_of([next(iter(cell.values())) for cell in cells if cell["Given"].startswith("by default")])
        every = [cell for cell in cells if "computed" not in cell["Given"] and "but not" not in cell["Given"]]
        with_all = tags_of([next(iter(cell.values())) for cell in every])
        of_path = {"0020000D"} if "{studyInstanceUid}" in row["Operation"] or "OfStudy" in row["Operation"] else set()
        of_path |= {"0020000D", "0020000E"} if "OfSeries" in row["Operation"] else set()
        own = {"StudyInstanceUID": instance.study_uid} if not of_path else {}
        for more, tags in (({}, by_default), ({"includefield": "all"}, with_all)):
            answer = await client.get(
                f"/{version}/{paths[row['Operation']]}", params={**own, **more}, headers={"Accept": DICOM_JSON}
            )
            (item,) = answer.json()
            assert set(item) == set(tags) | of_path, (row["Operation"], more)
        computed = tags_of([next(iter(cell.values())) for cell in cells if "computed" in cell["Given"]])
        answer = await client.get(
            f"/{version}/{paths[row['Operation']]}", params={**own, "includefield": ",".join(computed)}
        )
        assert set(computed) <= set(answer.json()[0])


async def test_reasons_and_statuses_of_a_store_are_those_that_are_listed(client, version):
    found = await statement(client, version)
    twice = made()
    requests = {
        "everything was stored": [twice.content],
        "everything was stored, something with a WarningReason": [
            made(transfer_syntax=ImplicitVRLittleEndian).content,
        ],
        "something was stored, something was not": [made().content, b"no file"],
        "nothing was stored": [twice.content],
        "there was nothing to store": [],
    }
    (listed,) = found["Status of a store"]
    assert [row["When"] for row in listed] == list(requests)
    failures: set[int] = set()
    warned: set[int] = set()
    for row in listed:
        answer = await store(client, f"/{version}", requests[row["When"]])
        assert answer.status_code == int(row["Status"]), row
        if answer.content:
            failures |= set(failure_reasons(answer.json()))
            warned |= {code for code in warning_reasons(answer.json()) if code is not None}
    for options in ({"patient_id": ""}, {"extra": {"Manufacturer": "x" * 65}}, {"extra": {"StudyDate": "2024"}}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what writes the file, which sees that it is odd
            odd = made(**options)
        answer = await store(client, f"/{version}", [odd.content])
        failures |= set(failure_reasons(answer.json()))
        warned |= {code for code in warning_reasons(answer.json()) if code is not None}
    # 272 is for faults of the service itself, which no request brings about.
    assert {int(next(iter(row.values()))) for row in found["Failure reasons"][0]} == failures | {272}
    assert {int(next(iter(row.values()))) for row in found["Warning reasons"][0]} == warned
    assert (1 in warned) == versions.behaves(version, invalid_other_value="warn")


async def test_attributes_that_an_instance_must_have_are_those_without_which_it_is_refused(client, version):
    found = await statement(client, version)
    (rows,) = found["What an instance must have"]
    must = {row["Attribute"].partition(" ")[0] for row in rows}
    optional = {"PatientName", "StudyDate", "Modality", "AccessionNumber"}
    for keyword in must | optional:
        answer = await store(client, f"/{version}", [made(extra={keyword: None}).content])
        refused = failure_reasons(answer.json()) == [43264]
        assert refused == (keyword in must), keyword


# A file that is stored so for each media type of frames; what is not here is made in tests of transfer syntaxes.
STORED_AS = {
    "image/jpeg": "SC_rgb_jpeg_gdcm.dcm",
    "image/jls": "MR_small_jpeg_ls_lossless.dcm",
    "image/x-jls": "MR_small_jpeg_ls_lossless.dcm",
    "image/jp2": "MR_small_jp2klossless.dcm",
    "image/dicom-rle": "MR_small_RLE.dcm",
    "image/x-dicom-rle": "MR_small_RLE.dcm",
}


async def test_a_listed_representation_is_given_and_another_one_is_406(client, version):
    found = await statement(client, version)
    native = made()
    files = {name: shipped(name) for name in set(STORED_AS.values())}
    answer = await store(client, f"/{version}", [native.content, *(one.content for one in files.values())])
    assert failure_reasons(answer.json()) in ([], [45070] * len(failure_reasons(answer.json())))
    operations = {row["Operation"]: row for row in found["Operations: Retrieve"][0]}
    listed = {kind for row in operations.values() for kind in row["Answers in"].split(", ")}
    assert {"application/octet-stream", "image/png", "application/dicom+json"} <= listed
    for operation, row in operations.items():
        for kind in row["Answers in"].split(", "):
            payload = kind.partition('type="')[2].rstrip('"') or kind
            one = files[STORED_AS[payload]] if payload in STORED_AS and "Frames" in operation else native
            if payload in ("image/jphc", "image/jxl"):
                continue
            path = (
                row["Request"]
                .partition(" ")[2]
                .format(
                    studyInstanceUid=one.study_uid,
                    seriesInstanceUid=one.series_uid,
                    sopInstanceUid=one.sop_instance_uid,
                    frames="1",
                    frame="1",
                )
            )
            given = await client.get(f"/{version}/{path}", headers={"Accept": kind})
            assert given.status_code == 200, (operation, kind, given.text)
            assert given.headers["content-type"].startswith(kind.partition(";")[0])
            other = await client.get(f"/{version}/{path}", headers={"Accept": "image/gif, text/csv"})
            assert other.status_code == 406


async def test_a_transfer_syntax_that_is_not_listed_is_406(client, version):
    found = await statement(client, version)
    rows = [row for table in found["Representations"] for row in table]
    assert rows
    instance = made()
    await store(client, f"/{version}", [instance.content])
    for row in rows:
        if row["Media type"] != "application/dicom":
            continue
        for syntax in ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.50", "1.2.3"):
            assert syntax not in row["Transfer syntaxes"].split(", ")
            accept = f"application/dicom; transfer-syntax={syntax}"
            answer = await client.get(f"/{version}{instance.path}", headers={"Accept": accept})
            assert answer.status_code == 406


async def test_pages_are_given_in_the_form_that_is_accepted(client, version):
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for accept, kind in ((browser, "text/html"), ("*/*", "text/html"), ("text/markdown", "text/markdown")):
        answer = await client.get(f"/{version}/conformance", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert dict(versions.HEADERS).items() <= dict(answer.headers).items()
        again = await client.get(
            f"/{version}/conformance", headers={"Accept": accept, "If-None-Match": answer.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
    assert (await client.get(f"/{version}/conformance", headers={"Accept": "image/png"})).status_code == 406
    asked = await client.get(f"/{version}/conformance?accept=text/markdown", headers={"Accept": browser})
    assert asked.text.startswith("# DICOM conformance statement")


async def test_the_documentation_finds_everything_that_it_loads(client, version):
    answer = await client.get(f"/{version}/docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Names(answer.text)
    assert len(page.loaded) >= 5
    for target in page.loaded:
        loaded = await client.get(answer.url.join(target))
        assert (loaded.status_code, loaded.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert loaded.headers["x-content-type-options"] == "nosniff"
        assert loaded.content
        assert "api-supported-versions" not in loaded.headers
    policies = answer.headers.get_list("content-security-policy")
    assert policies[0] == "frame-src 'self';"
    assert "script-src 'self'" in policies[1]
    for link in page.links:
        followed = await client.get(answer.url.join(link))
        assert followed.status_code == 200, link


async def test_links_of_the_conformance_statement_lead_somewhere(client, version):
    answer = await client.get(f"/{version}/conformance")
    links = [link for link in Names(answer.text).links if not link.startswith("#")]
    assert links
    for link in links:
        assert (await client.get(answer.url.join(link))).status_code == 200, link


@pytest.mark.parametrize("name", ["ui.js", "..%2f..%2fhost.json", "%2e%2e%2fhost.json", "docs.py", "a" * 3000, "%00"])
async def test_no_other_file_is_given(client, name):
    answer = await client.get(f"/docs/{name}")
    assert answer.status_code in (400, 404)


async def test_the_list_of_versions_links_to_what_answers(client, service):
    answer = await client.get("/versions")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert "api-supported-versions" not in answer.headers
    items = answer.json()["versions"]
    assert [item["label"] for item in items if item["status"] != "retired"] == list(VERSIONS)
    for item in items:
        for link in item["links"].values():
            if link.startswith(service.url):
                assert (await client.get(link)).status_code == 200, link
        for spelling in item["spellings"]:
            status = (await client.get(f"/{spelling}/api.json")).status_code
            assert status == (410 if item["status"] == "retired" else 200)
    named = await client.get("/versions", headers={"Host": "pacs.example.org:8443"})
    pages = [item["links"]["docs"] for item in named.json()["versions"] if "docs" in item["links"]]
    assert pages  # of the versions that this app serves
    assert all(page.startswith("http://pacs.example.org:8443/") for page in pages)
    assert (await client.get("/versions", headers={"Host": "a b"})).status_code == 400
    kept = await client.get("/versions", headers={"If-None-Match": answer.headers["etag"]})
    assert (kept.status_code, kept.content) == (304, b"")
    assert (await client.get("/versions?accept=text/html")).headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(VERSIONS, 2)))
async def test_differences_are_told_for_every_pair(client, before, after):
    answer = await client.get("/changes", params={"from": before.upper(), "to": after})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    found = answer.json()
    assert (found["from"], found["to"]) == (before, after)
    told = {one["key"]: (one["from"]["word"], one["to"]["word"]) for one in found["behaviours"]}
    keys = versions.of(before).behaviours.__slots__
    words = {key: (versions.word(before, key), versions.word(after, key)) for key in keys}
    assert told == {key: pair for key, pair in words.items() if pair[0] != pair[1]}
    assert {one["level"] for one in found["findings"]} <= {"ERR", "WARN", "INFO"}
    page = await client.get("/changes", params={"from": before, "to": after, "accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for link in Names(page.text).links:
        if not link.startswith("#"):
            assert (await client.get(page.url.join(link))).status_code == 200, link


async def test_a_second_look_at_differences_takes_next_to_no_time(client):
    await client.get("/changes?from=v1&to=v2")
    again = await client.get("/changes?from=v1&to=v2")
    assert again.elapsed.total_seconds() < 1


async def test_differences_of_nothing_are_400(client):
    for query in ("", "?from=v1", "?from=v1&to=v7999", "?from=&to=v1"):
        answer = await client.get(f"/changes{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
        assert "must be a version of this service" in answer.text
    same = (await client.get("/changes?from=v2&to=v2.0")).json()
    assert [same["behaviours"], same["operations"], same["findings"]] == [[], [], []]


async def test_what_describes_the_service_takes_no_other_method(client):
    for path in ("/versions", "/changes", "/docs/ui.js"):
        assert (await client.post(path, content=b"x")).status_code in (404, 405)
    for version in VERSIONS:
        for path in ("conformance", "docs"):
            assert (await client.put(f"/{version}/{path}")).status_code == 405
            assert (await client.get(f"/{version}/{path}", headers={"Host": "x y"})).status_code == 400
            unknown = await client.get(f"/v7999/{path}")
            assert unknown.json()["error"]["code"] == "UnsupportedApiVersion"
