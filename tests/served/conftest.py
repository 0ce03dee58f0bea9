"""Fixtures of tests through real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.clients import VERSIONS, Made, store
from tests.support.images import shipped
from tests.support.served import Service

TIMEOUT_SECONDS = 30.0


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Each version in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Requests to the service; one that hangs fails its test."""
    async with httpx.AsyncClient(base_url=service.url, timeout=TIMEOUT_SECONDS, trust_env=False) as opened:
        yield opened


async def kept(client: httpx.AsyncClient, instance: Made) -> Made:
    """An instance, stored."""
    answer = await store(client, "/v2", [instance.content])
    assert answer.status_code in (200, 202), answer.text
    return instance


@pytest.fixture(scope="module")
async def enhanced(client: httpx.AsyncClient) -> Made:
    """Ten frames in JPEG 2000."""
    return await kept(client, shipped("emri_small_jpeg_2k_lossless.dcm"))
