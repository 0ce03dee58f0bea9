"""An issuer without a network, and a gate that believes it."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from shared.api.access.fetching import FetchFailed
from shared.api.access.gate import Gate
from shared.api.access.keys import KeyStore
from shared.api.pipeline import Door
from shared.dev.issuer import AUDIENCE, LocalIssuer
from shared.settings import AccessSettings, Settings
from shared.storage.stores import open_stores

AUTHORITY = "https://issuer.example"
ACCESS = AccessSettings(on=True, authority=AUTHORITY, audiences=(AUDIENCE,))


@functools.cache
def issuer() -> LocalIssuer:
    """The issuer of a test run; making keys takes a while."""
    return LocalIssuer(AUTHORITY)


class Network:
    """Gives an issuer's documents, counts how often, and can be cut.

    Args:
        of: whose documents.
    """

    def __init__(self, of: LocalIssuer) -> None:
        self.asked: list[str] = []
        self.down = False
        self._of = of

    async def fetch(self, url: str) -> object:
        """One document."""
        self.asked.append(url)
        documents: Mapping[str, object] = self._of.documents()
        path = url.removeprefix(AUTHORITY)
        if self.down or path not in documents:
            raise FetchFailed("down")
        return documents[path]


def gate(settings: AccessSettings = ACCESS, of: LocalIssuer | None = None) -> Gate:
    """A gate with the issuer's keys."""
    return Gate(settings, KeyStore(settings, Network(of or issuer()).fetch))


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def door(settings: AccessSettings = ACCESS, *, data_partitions: bool = False) -> Door:
    """A front door that asks for tokens."""
    whole = Settings(access=settings, data_partitions=data_partitions)

    def undeclared(operation: str, status: int) -> None:
        raise AssertionError(f"{operation} answered {status}")

    return Door(open_stores(whole), whole, undeclared, gate(settings))
