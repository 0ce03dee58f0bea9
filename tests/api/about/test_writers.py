from __future__ import annotations

import base64
import hashlib
import re

import pytest

from shared.api.about import conformance, docs, markdown, webpage
from shared.api.about.prose import Link, Page, Paragraph, Section, Table
from shared.api.about.statement import Subject
from shared.settings import Settings
from tests.api import made
from tests.api.about.reading import Names, bound, tables
from tests.support import versions

NASTY = '<script>alert("1 & 2")</script> a|b `c<d|e` *bold* [no](link)'
PAGE = Page(
    title="A <title>",
    links=(Link("Top", 'a"b'),),
    notice=("Mind ", Link("this", "x?a=1&b=2")),
    lead=NASTY,
    sections=(
        Section("One & only", (Paragraph(NASTY), Table(("Head | one", "two"), ((NASTY, Link("l|k", "#one")),)))),
        Section("Two", (), (Section("Below", (Paragraph("text"),)),)),
    ),
)


def html(page=PAGE):
    return webpage.write(page).content.decode()


def test_html_escapes_everything_but_its_own_markup():
    page = Names(html())
    assert "script" not in page.tags
    assert '<script>alert("1 & 2")</script> a|b ' in page.text
    assert "c<d|e" in page.text
    assert page.links[:2] == ['a"b', "x?a=1&b=2"]
    assert "<title>A &lt;title&gt;</title>" in html()


def test_html_needs_nothing_else_and_has_no_inline_code():
    page = Names(html())
    assert (page.loaded, page.scripts, page.handlers) == ([], [], [])


def test_the_policy_allows_exactly_the_style_that_is_there():
    written = webpage.write(PAGE)
    (style,) = re.findall(r"<style>(.*?)</style>", written.content.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    ((name, policy),) = written.headers
    assert name == "Content-Security-Policy"
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "url(" not in style
    assert "@import" not in style


def test_contents_and_anchors_agree():
    for version in made.loaded().versions:
        page = Names(html(conformance.page(Subject(version, made.loaded(), Settings()))))
        assert len(page.anchors) == len(set(page.anchors)) > 10
        targets = [link[1:] for link in page.links if link.startswith("#")]
        assert set(targets) == set(page.anchors)


def test_markdown_keeps_cells_apart_and_texts_plain():
    text = markdown.write(PAGE).content.decode()
    ((row,),) = tables(text)["One & only"]
    assert list(row) == ["Head | one", "two"]
    assert row["Head | one"] == '<script>alert("1 & 2")</script> a|b c<d|e *bold* [no](link)'
    assert "\\<script\\>" in text
    assert "> Mind [this](x?a=1&b=2)" in text


@pytest.mark.parametrize("label", versions.LABELS)
async def test_the_documentation_page_loads_files_of_the_service_and_its_own_document(label):
    endpoint = next(one for one in bound().values() if (one.version, one.operation) == (label, "getDocs"))
    reply = await made.ask(endpoint, made.arrival(path={"version": label}))
    page = Names(made.whole(reply).decode())
    assert reply.media_type == "text/html; charset=utf-8"
    assert (page.scripts, page.handlers) == ([], [])
    assert set(page.loaded) == {f"../docs/{asset.name}" for asset in docs.assets().values()}
    assert {"conformance", "api.yaml", "api.json", "../versions?accept=text/html"} <= set(page.links)
    policies = [value for name, value in reply.headers if name == "Content-Security-Policy"]
    assert policies[0] == "frame-src 'self';"
    assert "script-src 'self';" in policies[1]
    assert "http" not in policies[1]


def test_the_documentation_loads_the_document_of_its_own_version_whatever_is_before_it():
    script = docs.assets()["page.js"].path.read_text()
    assert 'location.pathname.replace(/\\/docs\\/?$/i, "")' in script
    assert 'root + "/api.json"' in script
    assert "http" not in script


# Of swagger-ui-dist 5.34.0 as npm has it. With another release of the package, compare with what npm has then.
THEIRS = {
    "ui.js": "3f6abf70480db7e07914df4c98a77385f22ea585eaf457a3e6415ba0eae2d167",
    "ui.css": "c3cfe8248c4b0b89673600fb829924eafbac6de4bc4b2b06f5f5243483074d0a",
    "icon.png": "3ed612f41e050ca5e7000cad6f1cbe7e7da39f65fca99c02e99e6591056e5837",
}


@pytest.mark.parametrize("name", list(THEIRS))
def test_the_files_of_swagger_ui_are_the_ones_that_its_makers_released(name):
    assert hashlib.sha256(docs.assets()[name].path.read_bytes()).hexdigest() == THEIRS[name]


async def test_files_are_given_for_ever_under_a_name_with_their_digest():
    endpoint = bound()["service_getDocsAsset"]
    for name, asset in docs.assets().items():
        digest = hashlib.sha256(asset.path.read_bytes()).hexdigest()
        assert asset.name == f"{name.partition('.')[0]}-{digest[:12]}.{name.partition('.')[2]}"
        reply = await made.ask(endpoint, made.arrival(path={"asset": asset.name}))
        assert (reply.status, reply.media_type) == (200, asset.media_type)
        assert made.whole(reply) == asset.path.read_bytes()
        assert made.headers_of(reply)["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "name",
    ["", "ui.js", "docs.js", "../docs.py", "..\\docs.py", "/etc/hosts", "page-000000000000.css", "a" * 5000, "\0"],
)
async def test_no_other_file_is_given(name):
    reply = await made.ask(bound()["service_getDocsAsset"], made.arrival(path={"asset": name}))
    assert (reply.status, made.whole(reply)) == (404, b"There is no such file.")


async def test_a_deprecated_version_says_so_on_its_pages_and_a_retired_one_has_none(tmp_path):
    bound = made.bound(made.folder(tmp_path, v1=made.deprecate, v1__0_prerelease=made.retire))
    for name in ("v1_getDocs", "v1_getConformance"):
        reply = await made.ask(bound[name], made.arrival(path={"version": "v1"}))
        page = Names(made.whole(reply).decode())
        text = " ".join("".join(page.text).split())
        assert "announced as deprecated on 2027-01-01 and may be gone from 2028-01-02 on. Use version 2." in text
        assert {"../v2/conformance", made.READ_MORE} <= set(page.links)
        assert made.headers_of(reply)["sunset"] == "Sun, 02 Jan 2028 00:00:00 GMT"
        assert "deprecation" in made.headers_of(reply)
    for name in ("v2_getDocs", "v2_getConformance"):
        reply = await made.ask(bound[name], made.arrival())
        assert b"may be gone from" not in made.whole(reply)
    gone = await made.ask(bound["zy_v1_0_prerelease_retired"], made.arrival(path={"version": "v1.0-prerelease"}))
    assert gone.status == 410


def test_a_prerelease_warns_that_it_may_change():
    page = conformance.page(Subject(made.loaded().versions[0], made.loaded(), Settings()))
    assert page.notice == "This version is a prerelease: it may change without notice."
