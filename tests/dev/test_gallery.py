"""The gallery shows every transfer syntax and photometric interpretation there is, and says so when it cannot."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from shared.dev.gallery import command as gallery
from shared.dev.gallery.files import RECIPES, StoredFile, make, read_stored
from shared.dev.gallery.page import Card, page
from shared.dicom.codecs import CODECS
from tests.support.files import sound_files

KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


class PageReader(HTMLParser):
    """What a page shows and where it points."""

    def __init__(self) -> None:
        super().__init__()
        self.figures: set[str] = set()
        self.pictures: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "figure":
            self.figures.add(str(attributes["id"]))
        if tag == "img":
            self.pictures.append(str(attributes["src"]))
        if tag == "a":
            self.links.append(str(attributes["href"]))
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "action", "data")]


def read(text: str) -> PageReader:
    reader = PageReader()
    reader.feed(text)
    return reader


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery") / "new"
    assert gallery.main(["--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def shown_page(shown: Path) -> PageReader:
    return read((shown / "index.html").read_text(encoding="utf-8"))


def anchor(transfer_syntax: str, photometric: str) -> str:
    return f"{transfer_syntax}-{photometric.replace(' ', '-').lower()}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_every_combination_of_the_shipped_files_is_shown(shown_page: PageReader) -> None:
    expected = set()
    for path in sound_files():
        dataset = pydicom.dcmread(path)
        if any(dataset.get(keyword) for keyword in KEYWORDS):
            syntax = dataset.file_meta.get("TransferSyntaxUID", "")
            if "PhotometricInterpretation" in dataset:
                expected.add(anchor(syntax, dataset.PhotometricInterpretation))
    assert len(expected) > 30
    assert expected <= shown_page.figures


@pytest.mark.slow
def test_every_transfer_syntax_with_a_codec_is_shown(shown_page: PageReader) -> None:
    shown_syntaxes = {figure.split("-")[0] for figure in shown_page.figures}
    native = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
    assert set(CODECS) | native <= shown_syntaxes
    assert {anchor(recipe.transfer_syntax, recipe.photometric) for recipe in RECIPES} <= shown_page.figures


@pytest.mark.slow
def test_every_picture_is_there_and_none_too_many(shown: Path, shown_page: PageReader) -> None:
    assert len(shown_page.pictures) == len(shown_page.figures)
    assert set(shown_page.pictures) | {"index.html"} == {path.name for path in shown.iterdir()}
    for name in shown_page.pictures:
        with Image.open(shown / name) as image:
            assert np.asarray(image).std() > 0.5, name  # not one even area


@pytest.mark.slow
def test_the_page_asks_nobody_for_anything(shown: Path, shown_page: PageReader) -> None:
    assert all(re.fullmatch(r"[\w.-]+\.jpg|#[\w.-]+", address) for address in shown_page.addresses)
    assert not re.search(r"https?:|//|@import|url\(|<script", (shown / "index.html").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_overview_leads_to_every_picture(shown_page: PageReader) -> None:
    assert {link.removeprefix("#") for link in shown_page.links} == shown_page.figures


def test_a_failure_is_shown_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = read_stored(make(RECIPES[0]), "broken <file>")
    assert whole is not None
    broken = StoredFile(whole.name, whole.transfer_syntax, whole.header, (whole.frames[0][:200],), b"")
    monkeypatch.setattr(gallery, "shipped_files", lambda: iter([broken]))
    monkeypatch.setattr(gallery, "made_files", lambda: iter([]))
    assert gallery.main(["--output", str(tmp_path)]) == 1
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "broken &lt;file&gt;" in text
    assert read(text).pictures == []
    assert 'class="failed">failed</a>' in text
    assert "1 pictures, 1 failed" in capsys.readouterr().out


def test_a_line_is_printed_for_each_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = read_stored(make(RECIPES[0]), "made")
    assert stored is not None
    candidate = gallery.chosen([stored])[0]
    made_card = gallery.card(candidate, tmp_path)
    assert isinstance(made_card, Card)
    assert made_card.picture in page([made_card])
    assert capsys.readouterr().out == ""


def test_the_largest_picture_that_is_not_too_large_is_chosen() -> None:
    small = read_stored(make(RECIPES[0]), "small")
    assert small is not None
    huge_header = small.header.replace(b"\x28\x00\x10\x00US\x02\x00\x00\x01", b"\x28\x00\x10\x00US\x02\x00\xff\xff")
    huge = StoredFile("huge", small.transfer_syntax, huge_header, small.frames, b"")
    assert huge_header != small.header
    assert [candidate.stored.name for candidate in gallery.chosen([huge, small])] == ["small"]
    assert [candidate.stored.name for candidate in gallery.chosen([small, huge])] == ["small"]
