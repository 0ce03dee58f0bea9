from __future__ import annotations

import json

import pytest

from shared.api import manifest
from shared.api.about.versionlist import VersionList, spellings, status_of
from shared.api.labels import Label
from shared.settings import Settings
from tests.api import made
from tests.api.about.reading import Names


def ending(tmp_path):
    return manifest.load(made.folder(tmp_path, v1=made.deprecate, v1__0_prerelease=made.retire))


def items(manifests, served=("v1", "v2")):
    content = json.loads(VersionList(manifests, served).as_json("https://pacs.example"))
    return content["current"], {item["label"]: item for item in content["versions"]}


@pytest.mark.parametrize("text", ["v1", "v2.1", "v0", "v1.0-prerelease", "v12.3-beta2"])
def test_spellings_begin_with_the_label_and_all_mean_the_version(text):
    label = Label.parse(text)
    assert label is not None
    found = spellings(label)
    assert found[0] == text
    assert len(set(found)) == len(found) >= 1
    assert all(label.spelled(one) for one in found)


def test_there_is_every_version_with_its_state(tmp_path):
    current, found = items(ending(tmp_path))
    assert current == "v2"
    assert list(found) == ["v1.0-prerelease", "v1", "v2"]
    assert [one["status"] for one in found.values()] == ["retired", "deprecated", "stable"]
    assert found["v1"]["stability"] == "stable"
    assert (found["v1"]["deprecated"], found["v1"]["sunset"], found["v1"]["successor"]) == (
        "2027-01-01",
        "2028-01-02",
        "v2",
    )
    assert (found["v2"]["deprecated"], found["v2"]["sunset"], found["v2"]["successor"]) == (None, None, None)


def test_a_retired_version_has_nothing_but_its_end(tmp_path):
    _, found = items(ending(tmp_path))
    gone = found["v1.0-prerelease"]
    assert (gone["retired"], gone["successor"], gone["servedHere"]) == ("2028-01-02", "v2", False)
    assert gone["links"] == {"readMore": made.READ_MORE}
    assert not {"released", "sunset", "stability"} & set(gone)


def test_links_are_absolute_and_only_to_what_this_app_serves(tmp_path):
    _, found = items(ending(tmp_path), served=("v2",))
    assert found["v1"]["links"] == {"readMore": made.READ_MORE}
    assert found["v2"]["links"] == {
        "openapiYaml": "https://pacs.example/v2/api.yaml",
        "openapiJson": "https://pacs.example/v2/api.json",
        "conformance": "https://pacs.example/v2/conformance",
        "docs": "https://pacs.example/v2/docs",
        "changes": "https://pacs.example/changes?from=v1&to=v2",
    }


def test_without_a_stable_version_none_is_current(tmp_path):
    manifests = manifest.load(made.folder(tmp_path, v1=made.deprecate))
    only = manifest.Manifests(manifests.versions[:2], (), manifests.service, manifests.shapes)
    assert [status_of(one) for one in only.versions] == ["prerelease", "deprecated"]
    assert items(only)[0] is None


async def test_the_app_tells_which_versions_it_serves_itself(tmp_path):
    folder = made.folder(tmp_path, v1=made.deprecate, v1__0_prerelease=made.retire)
    endpoint = made.bound(folder, Settings(api_versions=("v2",)))["service_listVersions"]
    reply = await made.ask(endpoint, made.arrival())
    served = {one["label"]: one["servedHere"] for one in json.loads(made.whole(reply))["versions"]}
    assert served == {"v1.0-prerelease": False, "v1": False, "v2": True}
    headers = made.headers_of(reply)
    assert not {"api-supported-versions", "deprecation"} & set(headers)
    assert headers["cache-control"] == "max-age=300"


async def test_people_get_a_page_with_all_of_them(tmp_path):
    folder = made.folder(tmp_path, v1=made.deprecate, v1__0_prerelease=made.retire)
    endpoint = made.bound(folder)["service_listVersions"]
    reply = await made.ask(endpoint, made.arrival(headers={"Accept": "text/html,*/*;q=0.8"}))
    assert reply.media_type == "text/html; charset=utf-8"
    page = Names(made.whole(reply).decode())
    assert {"v1.0-prerelease", "v1", "v2"} <= set(page.text)
    assert {"retired", "deprecated", "stable"} <= set(page.text)
    assert {"v1/docs", "v2/docs", "v2/conformance", made.READ_MORE} <= set(page.links)
    assert "v1.0-prerelease/docs" not in page.links
