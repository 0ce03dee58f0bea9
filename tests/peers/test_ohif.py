"""OHIF in Chromium, from an origin of its own: what it asks, what it is told, and what it draws.

Pictures of all that was seen are left in build/peers/ to be looked at.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut, apply_windowing

from shared.dev import issuer, ports
from shared.dev.peers import viewer
from shared.dev.peers.browser import LEFT, Page, Request, opened_page
from shared.dev.peers.programs import FOLDER
from tests.peers.made import fill
from tests.support.files import shipped_file
from tests.support.served import started
from tests.support.storage import fresh_account

LABELS = ("v1", "v2")
DRAWN = ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "693_J2KI.dcm")
"""Uncompressed, RLE and JPEG 2000 with and without loss: decoded by the viewer, as they go out as they are stored."""

LIST_SECONDS, DRAW_SECONDS, ANSWER_SECONDS = 120.0, 120.0, 30.0
PATIENT = "CompressedSamples, CT1"
ALIKE = 0.9


@dataclass(frozen=True, slots=True)
class Shown:
    """A service and the viewers of it, one for each version.

    Attributes:
        origins: of the viewers, by version.
    """

    url: str
    origins: dict[str, str]


@pytest.fixture(scope="module")
def shown(azurite) -> Iterator[Shown]:
    taken = dict(zip(LABELS, ports.free_ports(len(LABELS)), strict=True))
    origins = {label: f"http://127.0.0.1:{port}" for label, port in taken.items()}
    settings = {
        "DICOM_STORAGE": fresh_account(azurite.connection_string),
        "DICOM_CORS_ORIGINS": ",".join(origins.values()),
    }
    with started(settings) as service:
        files = [shipped_file(name).read_bytes() for name in DRAWN]
        assert fill(f"{service.url}/v2", files) == files
        roots = {label: f"{service.url}/{label}" for label in LABELS}
        with (
            viewer.served(viewer.configuration(roots["v1"]), taken["v1"]),
            viewer.served(viewer.configuration(roots["v2"]), taken["v2"]),
        ):
            yield Shown(service.url, origins)


@pytest.fixture(scope="module")
async def page():
    async with opened_page() as opened:
        yield opened


async def asked_of(page: Page, url: str) -> list[Request]:
    """What the page has asked of a service since it was last looked at, once all of it is answered."""
    until = time.monotonic() + ANSWER_SECONDS
    while True:
        told = [one for one in page.requests.values() if one.url.startswith(url)]
        if all(one.has_ended for one in told) or time.monotonic() > until:
            page.requests.clear()
            return told
        await asyncio.sleep(0.1)


def refused(told: list[Request]) -> list[str]:
    """Those that were not answered well; what the page has given up itself is none of them."""
    return [
        f"{one.method} {one.url} {one.status or one.fault}"
        for one in told
        if one.status // 100 not in (2, 3) and one.fault != LEFT
    ]


async def draw(page: Page, address: str) -> np.ndarray:
    """Open studies; the viewport as grey values, once it shows something."""
    await page.open(address)
    await page.until(DRAWN_SCRIPT, DRAW_SECONDS)
    await page.value(
        "[...document.querySelectorAll('*')].filter(e => e.textContent === 'Skip all').forEach(e => e.click())"
    )
    address = await page.value("document.querySelector('canvas.cornerstone-canvas').toDataURL('image/png')")
    picture = Image.open(BytesIO(base64.b64decode(address.partition(",")[2]))).convert("L")
    return np.asarray(picture, dtype=np.float64)


# Else it lies over the pictures that are left.
NO_TOUR_SCRIPT = "[...document.querySelectorAll('*')].filter(e => e.textContent === 'Skip all').forEach(e => e.click())"

# A canvas that has nothing drawn on it is one colour.
DRAWN_SCRIPT = """(() => {
    const canvas = document.querySelector('canvas.cornerstone-canvas');
    const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    const levels = new Set();
    for (let at = 0; at < all.length; at += 4 * 97) levels.add(all[at]);
    return levels.size > 16 && canvas.toDataURL('image/png');
})()"""


def likeness(viewport: np.ndarray, name: str) -> float:
    """How a viewport correlates with the picture that pydicom makes of the file, in the middle and as large as fits."""
    file = pydicom.dcmread(shipped_file(name))
    grey = apply_windowing(apply_modality_lut(file.pixel_array, file), file)
    height, width = viewport.shape
    scale = min(height / grey.shape[0], width / grey.shape[1])
    size = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    wanted = np.asarray(Image.fromarray(grey.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    seen = viewport[top : top + size[1], left : left + size[0]]
    return abs(float(np.corrcoef(seen.ravel(), wanted.ravel())[0, 1]))


@pytest.mark.parametrize("label", LABELS)
async def test_the_study_list_shows_the_patients(page, shown, label):
    page.requests.clear()
    await page.open(shown.origins[label])
    await page.until(f"document.body.innerText.includes({PATIENT!r})", LIST_SECONDS)
    text = await page.value("document.body.innerText")
    await page.picture(FOLDER / f"ohif-list-{label}.png")
    for name in DRAWN:
        family = str(pydicom.dcmread(shipped_file(name)).PatientName).partition("^")[0]
        assert family in text, family
    told = await asked_of(page, shown.url)
    assert any(f"/{label}/studies?" in one.url for one in told)
    assert refused(told) == []


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("label", LABELS)
async def test_a_study_opens_and_is_drawn(page, shown, label, name):
    study = pydicom.dcmread(shipped_file(name)).StudyInstanceUID
    page.requests.clear()
    viewport = await draw(page, f"{shown.origins[label]}/viewer?StudyInstanceUIDs={study}")
    await page.picture(FOLDER / f"ohif-{label}-{name.removesuffix('.dcm')}.png")
    assert likeness(viewport, name) > ALIKE
    told = await asked_of(page, shown.url)
    assert any(one.url.endswith("/frames/1") for one in told)
    assert any(one.url.endswith("/metadata") for one in told)
    assert refused(told) == []


async def test_a_study_opens_with_a_token(page, azurite):
    """The viewer takes it from its address, and shows it with each request; each of them is preflighted for that."""
    (port,) = ports.free_ports(1)
    origin = f"http://127.0.0.1:{port}"
    with issuer.running() as tokens:
        settings = {
            "DICOM_STORAGE": fresh_account(azurite.connection_string),
            "DICOM_CORS_ORIGINS": origin,
            **tokens.settings(),
        }
        with started(settings) as service, viewer.served(viewer.configuration(f"{service.url}/v2"), port):
            file = shipped_file("CT_small.dcm")
            kept = {"Authorization": f"Bearer {tokens.token('globalAdmin')}"}
            headers = {"Content-Type": "application/dicom", **kept}
            async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
                stored = await client.post(f"{service.url}/v2/studies", content=file.read_bytes(), headers=headers)
            assert stored.status_code == 200
            study, token = pydicom.dcmread(file).StudyInstanceUID, tokens.token("globalReader")
            page.requests.clear()
            viewport = await draw(page, f"{origin}/viewer?StudyInstanceUIDs={study}&token={token}")
            assert likeness(viewport, file.name) > ALIKE
            assert token not in await page.value("location.href")
            told = await asked_of(page, service.url)
            assert any(one.method == "OPTIONS" for one in told)
            assert refused(told) == []
