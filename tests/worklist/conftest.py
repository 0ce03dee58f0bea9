"""Stores for tests of the worklist: one empty account for each module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.storage.stores import Stores
from tests.support.storage import watched_stores


@pytest.fixture(scope="module")
async def stores(azurite) -> AsyncIterator[Stores]:
    async with watched_stores(azurite.connection_string) as (opened, _):
        yield opened
