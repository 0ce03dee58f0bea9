"""The handlers of rows that give out what the service says of itself, by the names that rows use.

They are built, because they need their own version or all versions; what they give is written at the first request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from shared.api.about import conformance, differences, docs, markdown, webpage
from shared.api.about.prose import Page
from shared.api.about.serving import Shelf, Written
from shared.api.about.statement import Subject
from shared.api.about.versionlist import VersionList
from shared.api.endpoints import Handler
from shared.api.manifest import ApiVersion, Manifests
from shared.settings import Settings
from shared.storage.stores import Stores
from shared.wire.call import Call, Reply

_JSON = "application/json; charset=utf-8"
_MARKDOWN = "text/markdown"
_HTML = "text/html"


def of_version(version: ApiVersion, manifests: Manifests, settings: Settings) -> Mapping[str, Handler]:
    """Handlers of a version's own rows."""

    def statement(media_type: str) -> Written:
        return _written(conformance.page(Subject(version, manifests, settings)), media_type)

    statements = Shelf(statement)
    pages = Shelf[str](lambda _: docs.page(version, manifests))

    async def get_conformance(call: Call, _stores: Stores) -> Reply:
        return (await statements.take(_chosen(call))).reply(call)

    async def get_docs(call: Call, _stores: Stores) -> Reply:
        return (await pages.take("")).reply(call)

    return {"api.get_conformance": get_conformance, "api.get_docs": get_docs}


def of_service(manifests: Manifests, served: Collection[str]) -> Mapping[str, Handler]:
    """Handlers of the service's rows.

    Args:
        manifests: all versions.
        served: labels of those that this app serves.
    """
    versions = VersionList(manifests, frozenset(served))
    labelled = {version.label.text: version for version in manifests.versions}

    def changes(key: tuple[str, str, str]) -> Written:
        before, after, media_type = key
        found = differences.between(labelled[before], labelled[after], manifests)
        if media_type == _HTML:
            return webpage.write(differences.page(found))
        return Written.for_long(differences.as_json(found), _JSON)

    changes_of = Shelf(changes)
    assets = Shelf(docs.asset)

    async def list_versions(call: Call, _stores: Stores) -> Reply:
        if _chosen(call) == _HTML:
            return webpage.write(versions.page()).reply(call)
        return Written(versions.as_json(call.service_root), _JSON).reply(call)

    async def get_changes(call: Call, _stores: Stores) -> Reply:
        before, after = (differences.find(manifests, name, call.parameters[name]) for name in ("from", "to"))
        return (await changes_of.take((before.label.text, after.label.text, _chosen(call)))).reply(call)

    async def get_docs_asset(call: Call, _stores: Stores) -> Reply:
        return (await assets.take(str(call.parameters["asset"]))).reply(call)

    return {
        "api.list_versions": list_versions,
        "api.get_changes": get_changes,
        "api.get_docs_asset": get_docs_asset,
    }


def _written(page: Page, media_type: str) -> Written:
    return markdown.write(page) if media_type == _MARKDOWN else webpage.write(page)


def _chosen(call: Call) -> str:
    assert call.choice is not None, "the row offers representations"
    return call.choice.media_type
