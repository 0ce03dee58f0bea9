"""Headers for browsers, and what is believed of a proxy."""

from __future__ import annotations

import pytest
import yaml

from shared.api import browser
from shared.settings import Settings, SettingsError
from tests.api import made
from tests.support.served import ROOT

VIEWER = "https://viewer.example.org"


def told(origins=(), **headers):
    return dict(browser.headers(made.arrival(headers=headers), origins))


def test_without_origins_no_other_page_may_embed_an_answer():
    assert told()["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Expose-Headers" not in told(Origin=VIEWER)


def test_pages_may_embed_answers_and_read_their_headers():
    assert told((VIEWER,))["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Access-Control-Expose-Headers" not in told((VIEWER,))
    exposed = told((VIEWER,), Origin=VIEWER)["Access-Control-Expose-Headers"].split(", ")
    assert exposed == sorted(exposed, key=str.lower)
    assert {"ETag", "Location", "Content-Length", "Warning", "erroneous-dicom-attributes"} <= set(exposed)


def test_every_header_of_the_documents_can_be_read_by_a_page():
    documented = yaml.safe_load((ROOT / "versions" / "shapes.yaml").read_text())["headers"]
    # Readable by themselves, or about the connection, its encoding or the browser; and none of a page's business.
    readable = {"Content-Type", "Cache-Control", "Content-Encoding", "Vary", "Allow"}
    browsers = {name for name, _ in browser.headers(made.arrival(), ())}
    assert set(documented) - readable - browsers <= set(browser.EXPOSED)


def test_the_platform_answers_who_may_read_so_the_app_does_not():
    names = {name.lower() for name in told((VIEWER,), Origin=VIEWER)}
    assert "access-control-allow-origin" not in names


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        ("http://localhost:3000", ("http://localhost:3000",)),
        (" https://a.example , http://[::1]:8080 ", ("https://a.example", "http://[::1]:8080")),
    ],
)
def test_origins_are_read_from_the_setting(text, origins):
    assert settings(DICOM_CORS_ORIGINS=text).cors_origins == origins


@pytest.mark.parametrize(
    "text",
    ["*,https://a.example", "https://a.example/", "a.example", "https://A.example", "null", "https://a.example/x"],
)
def test_what_is_no_origin_is_refused_at_start(text):
    with pytest.raises(SettingsError, match="DICOM_CORS_ORIGINS"):
        settings(DICOM_CORS_ORIGINS=text)


def settings(**values: str) -> Settings:
    return Settings.from_env({"DICOM_STORAGE": "UseDevelopmentStorage=true", **values})
