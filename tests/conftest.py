"""Fixtures for every room: the storage emulator and the served app, each started once a run when first asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.dev.azurite import Azurite
from tests.support.azurite import running_azurite
from tests.support.pair import started_pair
from tests.support.served import Service, started
from tests.support.storage import handed_out
from tests.support.whole import expect_whole

WRITING_ROOMS = frozenset({"stow", "wado", "qido", "edits", "worklist"})
"""Suites that write by calling rooms. Hosts are checked when they end, and tests of storage check what they break."""

HARMFUL = frozenset(
    {
        "test_an_instance_whose_bytes_are_gone_is_not_found",
        "test_a_page_that_lacks_what_cannot_be_read_says_so",
    }
)
"""Tests of those suites that take bytes away behind the service's back, to see what it says then."""


@pytest.fixture(scope="session")
def azurite() -> Azurite:
    """The emulator, in memory; `connection_string` reaches it."""
    return running_azurite()


@pytest.fixture(autouse=True)
def whole_at_the_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test of a room did through it, the stores that it leaves are whole."""
    before = len(handed_out())
    yield
    if request.path.parent.name in WRITING_ROOMS and request.node.originalname not in HARMFUL:
        for account in handed_out()[before:]:
            expect_whole(account)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Name how many apps serve the versions."""
    text = "one app serves all versions, or two that share a store: then only tests that ask for `service` are run"
    parser.addoption("--apps", choices=("one", "split"), default="one", help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With two apps, leave those tests out that start apps of their own."""
    if config.getoption("--apps") == "split":
        chosen = [item for item in items if "service" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """The real app on the local host with the sample's settings; `url` is its base."""
    if request.config.getoption("--apps") == "split":
        with started_pair() as pair:
            yield pair.together
        return
    with started() as running:
        yield running
