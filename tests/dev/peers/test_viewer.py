"""The viewer is the one that was tried, and is served as viewers are."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO

import httpx
import pytest

from shared.dev.peers import viewer
from shared.dev.peers.programs import MissingPeer


def packed(folder):
    """A package with a site and a map."""
    file = folder / "package.tgz"
    with tarfile.open(file, "w:gz") as archive:
        for name in ("package/dist/index.html", "package/dist/app.js.map", "package/README.md"):
            content = name.encode()
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, BytesIO(content))
    return file


def test_a_package_that_is_another_one_is_not_unpacked(tmp_path):
    with pytest.raises(viewer.ViewerFailed, match="another @ohif/app"):
        viewer._unpack(packed(tmp_path), tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_the_site_is_unpacked_without_maps(monkeypatch, tmp_path):
    file = packed(tmp_path)
    monkeypatch.setattr(viewer, "SHA512", viewer.digest_of(file))
    viewer._unpack(file, tmp_path / "site")
    assert [one.name for one in (tmp_path / "site").iterdir()] == ["index.html"]


def test_a_viewer_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingPeer, match=r"^OHIF is not installed"), viewer.served("", site=tmp_path):
        pass


def test_it_is_served_with_shared_memory_and_told_where_studies_are(tmp_path):
    (tmp_path / "index.html").write_text("the page")
    told = viewer.configuration("http://127.0.0.1:1/v2", {"name": "here"})
    with (
        viewer.served(told, site=tmp_path) as origin,
        httpx.Client(base_url=origin, trust_env=False) as client,
    ):
        page = client.get("/viewer?StudyInstanceUIDs=1.2")
        assert page.text == "the page"
        assert page.headers["cross-origin-embedder-policy"] == "require-corp"
        script = client.get("/app-config.js").text
        assert client.get("/../../secret").text == "the page"
    settings = json.loads(script.removeprefix("window.config = ").removesuffix(";"))
    assert settings["name"] == "here"
    assert settings["dataSources"][0]["configuration"]["wadoRoot"] == "http://127.0.0.1:1/v2"
