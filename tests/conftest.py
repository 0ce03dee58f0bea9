"""Fixtures for every room: the storage emulator and the served app, each started once a run when first asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.dev.azurite import Azurite
from tests.support.azurite import running_azurite
from tests.support.served import Service, started


@pytest.fixture(scope="session")
def azurite() -> Azurite:
    """The emulator, in memory; `connection_string` reaches it."""
    return running_azurite()


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """The real app on the local host with the sample's settings; `url` is its base."""
    with started() as running:
        yield running
