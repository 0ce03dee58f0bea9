"""The versions there are, with what becomes of them (contract a.3): as data for clients and as a page for people."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from shared.api.about.prose import Line, Link, Page, Section, Table, listed
from shared.api.labels import Label
from shared.api.lifecycle import Retirement
from shared.api.manifest import ApiVersion, Manifests

# Rows of a version that say what it is, by handler, and the names of the links to them.
_DOCUMENTS = {
    "api.get_open_api": "openapiYaml",
    "api.get_open_api_json": "openapiJson",
    "api.get_conformance": "conformance",
    "api.get_docs": "docs",
}

# Any: its values are whatever JSON holds.
Item = dict[str, Any]


def status_of(version: ApiVersion | Retirement) -> str:
    """The word for people: prerelease, stable, deprecated or retired."""
    if isinstance(version, Retirement):
        return "retired"
    return version.stability if version.deprecation is None else "deprecated"


def spellings(label: Label) -> tuple[str, ...]:
    """The usual ways to write a version in a URL, its label first. Letters may be upper or lower case."""
    number = f"v{label.major}" if not label.minor else f"v{label.major}.{label.minor}"
    numbers = (number,) if label.minor else (number, f"{number}.0")
    endings = (f"-{label.status}", label.status) if label.status else ("",)
    return tuple(dict.fromkeys((label.text, *(one + ending for one in numbers for ending in endings))))


@dataclass(frozen=True, slots=True)
class VersionList:
    """The versions of all manifests.

    Attributes:
        manifests: where they are.
        served: labels of those that this app serves.
    """

    manifests: Manifests
    served: Collection[str]

    def as_json(self, root: str) -> bytes:
        """The list for clients.

        Args:
            root: what links begin with: scheme and host of the caller.
        """
        items = [self._item(version, root) for version in self._all()]
        return json.dumps({"current": self.current, "versions": items}, indent=1, ensure_ascii=False).encode()

    @property
    def current(self) -> str | None:
        """Label of the newest stable version that is not deprecated; None when there is none."""
        fitting = [one.label.text for one in self.manifests.versions if status_of(one) == "stable"]
        return fitting[-1] if fitting else None

    def page(self) -> Page:
        """The list for people, at an address directly below the root."""
        rows = tuple(_row(self._item(version, "")) for version in self._all())
        head = ("Version", "Status", "Released", "End", "Successor", "Also written", "Here", "Pages")
        lead = "Every version of this service, with its state and the pages that describe it."
        pairs = Section("What changed between versions", (Table(("From", "To"), tuple(self._pairs())),))
        return Page(
            "Versions",
            (Link("As JSON", "versions?accept=application/json"),),
            "",
            lead,
            (Section("All versions", (Table(head, rows),)), pairs),
        )

    def _all(self) -> list[ApiVersion | Retirement]:
        found: list[ApiVersion | Retirement] = [*self.manifests.versions, *self.manifests.retired]
        return sorted(found, key=lambda one: one.label)

    def _pairs(self) -> Iterable[tuple[Line, ...]]:
        labels = [one.label.text for one in self.manifests.versions]
        for label in labels:
            others = [
                Link(other, f"changes?from={label}&to={other}&accept=text/html") for other in labels if other != label
            ]
            yield f"`{label}`", tuple(piece for link in others for piece in (link, " "))[:-1]

    def _item(self, version: ApiVersion | Retirement, root: str) -> Item:
        label = version.label
        item: Item = {
            "label": label.text,
            "name": label.name,
            "spellings": list(spellings(label)),
            "status": status_of(version),
        }
        if isinstance(version, Retirement):
            item |= {"retired": version.on.isoformat(), "successor": version.successor, "servedHere": False}
            return item | {"links": {"readMore": version.read_more}}
        end = version.deprecation
        item |= {
            "stability": version.stability,
            "summary": version.summary,
            "released": version.released.isoformat(),
            "deprecated": end.announced.isoformat() if end else None,
            "sunset": end.sunset.isoformat() if end else None,
            "successor": end.successor if end else None,
            "servedHere": label.text in self.served,
        }
        return item | {"links": self._links(version, root)}

    def _links(self, version: ApiVersion, root: str) -> dict[str, str]:
        """Links to what answers: documents of a version are given only by an app that serves it."""
        lead = f"{root}/" if root else ""
        label = version.label.text
        links: dict[str, str] = {}
        if label in self.served:
            rows = {row.handler: row.path for row in version.rows}
            links = {name: f"{lead}{label}/{rows[one]}" for one, name in _DOCUMENTS.items() if one in rows}
        labels = [one.label.text for one in self.manifests.versions]
        place = labels.index(label)
        if place:
            links["changes"] = f"{lead}changes?from={labels[place - 1]}&to={label}"
        if version.deprecation is not None:
            links["readMore"] = version.deprecation.read_more
        return links


def _row(item: Item) -> tuple[Line, ...]:
    names = {
        "docs": "Documentation",
        "conformance": "Conformance",
        "openapiYaml": "OpenAPI",
        "changes": "Changes",
        "readMore": "Read more",
    }
    links = [Link(text, item["links"][name]) for name, text in names.items() if name in item["links"]]
    ends = {"deprecated": f"may be gone from `{item.get('sunset')}` on", "retired": f"on `{item.get('retired')}`"}
    return (
        f"`{item['label']}`",
        item["status"],
        f"`{item['released']}`" if "released" in item else "",
        ends.get(item["status"], ""),
        f"`{item['successor']}`" if item["successor"] else "",
        listed(tuple(item["spellings"][1:])),
        "yes" if item["servedHere"] else "no",
        tuple(piece for link in links for piece in (link, " "))[:-1],
    )
