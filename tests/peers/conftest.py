"""Fixtures of the tests with other people's programs, which are run only when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.dev.azurite import Azurite
from shared.dev.peers.orthanc import Orthanc, running_orthanc
from tests.peers.made import CHUNKED, PLAIN, files, fill
from tests.support.clients import VERSIONS
from tests.support.served import Service, started
from tests.support.storage import fresh_account

_HERE = Path(__file__).parent
_MARK = "peers"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark them, and leave them out unless `-m` speaks of them: they need programs that no lock brings."""
    mine = [item for item in items if _HERE in item.path.parents]
    for item in mine:
        item.add_marker(_MARK)
    if _MARK not in (config.getoption("markexpr") or ""):
        config.hook.pytest_deselected(items=mine)
        items[:] = [item for item in items if item not in mine]


@pytest.fixture(scope="module")
def ours(azurite: Azurite) -> Iterator[Service]:
    """The service, empty at first."""
    with started({"DICOM_STORAGE": fresh_account(azurite.connection_string)}) as running:
        yield running


@pytest.fixture(scope="module")
def orthanc() -> Iterator[Orthanc]:
    """Orthanc with all real files that it takes."""
    with running_orthanc() as running:
        fill(running.dicom_web, files())
        yield running


@pytest.fixture(scope="module")
def client(ours: Service) -> Iterator[Orthanc]:
    """Orthanc, empty at first, as a client of ours: a server for each version and way of sending."""
    servers = {
        f"{label}-{way}": {"Url": f"{ours.url}/{label}/", "HasDelete": True, "ChunkedTransfers": way == CHUNKED}
        for label in VERSIONS
        for way in (CHUNKED, PLAIN)
    }
    with running_orthanc(servers) as running:
        yield running
