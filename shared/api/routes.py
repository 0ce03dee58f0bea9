"""Rows → bound endpoints: paths, function names, resolved handlers, headers; and the proof that routing is right."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from shared.api import farewell, openapi, proof
from shared.api.about import handlers as about
from shared.api.decode import ManifestError
from shared.api.endpoints import Endpoint, Handler, Service
from shared.api.fallback import Fallback
from shared.api.lineup import PARTITION_PREFIX, Lineup
from shared.api.manifest import METHODS, PARTITION_NAME, ApiVersion, Manifests, Row
from shared.api.patterns import Pattern, VersionSlot
from shared.behaviours import Behaviours
from shared.settings import Settings

# Answered by the front door itself: rules of the request, a client that went away, and faults of ours.
_ALWAYS = (400, 500, 503)
_DOCUMENT_ROOM = "api"

Resolver = Callable[[str], Handler]


class HandlerError(Exception):
    """A manifest names a handler that is not there or has the wrong form."""


def room_handler(name: str) -> Handler:
    """The function a manifest names as `room.function`: only `shared/<room>/handlers.py` can be reached.

    Raises:
        HandlerError: there is none, or it is no coroutine function of two arguments.
    """
    room, _, function = name.partition(".")
    module_name = f"shared.{room}.handlers"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name not in (module_name, f"shared.{room}"):
            raise
        raise HandlerError(f"there is no room {room!r} with handlers") from error
    handler: Handler | None = getattr(module, function, None)
    if not inspect.iscoroutinefunction(handler):
        raise HandlerError(f"{module_name} has no coroutine function {function!r}")
    if len(inspect.signature(handler).parameters) != 2:
        raise HandlerError(f"{module_name}.{function} must take two arguments: call and stores")
    return handler


def bind(manifests: Manifests, settings: Settings, resolve: Resolver = room_handler) -> tuple[Endpoint, ...]:
    """All functions of the app, in the order in which the host matches them.

    Args:
        manifests: every version there is.
        settings: says which of them this app serves.
        resolve: finds handlers by the name a manifest gives.

    Raises:
        ManifestError: handlers are missing, names collide, or an overlapping pair of routes has the wrong order.
    """
    served = _served(manifests, settings)
    binder = _Binder(manifests, Lineup.of(manifests.versions), settings, resolve, [])
    endpoints = [endpoint for version in served for endpoint in binder.version_endpoints(version)]
    endpoints.extend(binder.unversioned_endpoints(served))
    endpoints.extend(binder.retired_versions())
    endpoints.append(binder.unknown_versions())
    faults = list(dict.fromkeys(binder.faults)) + proof.faults(endpoints)
    if faults:
        raise ManifestError(faults)
    return tuple(sorted(endpoints, key=proof.rank))


def _served(manifests: Manifests, settings: Settings) -> tuple[ApiVersion, ...]:
    """The versions this app serves. A setting may go on naming a version that was retired since."""
    if not settings.api_versions:
        return manifests.versions
    labels = [version.label for version in manifests.versions] + [end.label for end in manifests.retired]
    unknown = [
        f"DICOM_API_VERSIONS names {text!r}, which is no version of this service"
        for text in settings.api_versions
        if not any(label.spelled(text) for label in labels)
    ]
    if unknown:
        raise ManifestError(unknown)
    return tuple(
        version for version in manifests.versions if any(version.label.spelled(text) for text in settings.api_versions)
    )


@dataclass(frozen=True, slots=True)
class _Binder:
    manifests: Manifests
    lineup: Lineup
    settings: Settings
    resolve: Resolver
    faults: list[str]

    def version_endpoints(self, version: ApiVersion) -> Iterator[Endpoint]:
        """Triggers of one version, and its catch-all."""
        slot = VersionSlot(version.label)
        documents = {
            **openapi.handlers(version, self.manifests),
            **about.of_version(version, self.manifests, self.settings),
        }
        parting = farewell.of_deprecated(version, self.manifests.versions)
        for row in version.rows:
            service = self._service(version.label.text, row, version.behaviours, documents)
            if service is None:
                continue
            headers = self.lineup.headers_for(row.operation)
            for suffix, path in _variants(row):
                yield Endpoint(
                    name=f"{version.label.slug}_{row.operation}{suffix}",
                    pattern=Pattern.of(path, slot),
                    methods=(row.method,),
                    operation=row.operation,
                    version=version.label.text,
                    headers=headers,
                    work=service,
                    farewell=parting,
                )
        yield from self._absent(version)
        # Last of all functions but one; not zz_ and zzz_, because an underscore sorts after letters.
        yield Endpoint(
            name=f"zy_{version.label.slug}_fallback",
            pattern=Pattern((slot,), open_ended=True),
            methods=METHODS,
            operation="fallback",
            version=version.label.text,
            headers=self.lineup.headers_at(()),
            work=Fallback(self.lineup, version),
            farewell=parting,
        )

    def _absent(self, version: ApiVersion) -> Iterator[Endpoint]:
        """Operations of other versions whose paths a row of this one would take, reading a word as a UID."""
        slot, own = VersionSlot(version.label), {row.operation for row in version.rows}
        others = {
            row.operation: row for other in self.lineup.versions for row in other.rows if row.operation not in own
        }
        for row in others.values():
            wider = [one for one in version.rows if one.method == row.method and _takes_paths_of(one, row)]
            for suffix, path in _variants(row) if wider else ():
                yield Endpoint(
                    name=f"{version.label.slug}_{row.operation}{suffix}",
                    pattern=Pattern.of(path, slot),
                    methods=(row.method,),
                    operation=row.operation,
                    version=version.label.text,
                    headers=self.lineup.headers_at(()),
                    work=Fallback(self.lineup, version, absent=True),
                    farewell=farewell.of_deprecated(version, self.manifests.versions),
                )

    def unversioned_endpoints(self, served: tuple[ApiVersion, ...]) -> Iterator[Endpoint]:
        """Triggers without a version segment: the service's own rows, and those of the version that is bound so."""
        newest = self.manifests.versions[-1]
        rows = [("service", row, newest.behaviours) for row in self.manifests.service.rows]
        bound = next((version for version in served if version.label.text == self.manifests.service.unversioned), None)
        if bound is not None:
            data_rows = (row for row in bound.rows if not row.handler.startswith(f"{_DOCUMENT_ROOM}."))
            rows.extend(("unversioned", row, bound.behaviours) for row in data_rows)
        documents = about.of_service(self.manifests, [version.label.text for version in served])
        for slug, row, behaviours in rows:
            service = self._service("service.yaml", row, behaviours, documents)
            if service is None:
                continue
            for suffix, path in _variants(row):
                yield Endpoint(
                    name=f"{slug}_{row.operation}{suffix}",
                    pattern=Pattern.of(path),
                    methods=(row.method,),
                    operation=row.operation,
                    version="",
                    headers=(),
                    work=service,
                )

    def retired_versions(self) -> Iterator[Endpoint]:
        """The one trigger of each retired version. Every app has them: what is gone is served nowhere else either."""
        for end in self.manifests.retired:
            yield Endpoint(
                name=f"zy_{end.label.slug}_retired",
                pattern=Pattern((VersionSlot(end.label),), open_ended=True),
                methods=METHODS,
                operation="retired",
                version=end.label.text,
                headers=self.lineup.headers_at(()),
                work=Fallback(self.lineup, end),
                farewell=farewell.of_retired(end, self.manifests.versions),
            )

    def unknown_versions(self) -> Endpoint:
        """The catch-all for every text that reads as a version and that no other trigger took."""
        return Endpoint(
            name="zz_unknown_version",
            pattern=Pattern((VersionSlot(None),), open_ended=True),
            methods=METHODS,
            operation="unknownVersion",
            version="",
            headers=self.lineup.headers_at(()),
            work=Fallback(self.lineup, None),
        )

    def _service(
        self, owner: str, row: Row, behaviours: Behaviours, documents: Mapping[str, Handler]
    ) -> Service | None:
        shapes = self.manifests.shapes
        try:
            handler = documents.get(row.handler) or self.resolve(row.handler)
        except HandlerError as error:
            self.faults.append(f"{owner}: {row.operation}: {error}")
            return None
        in_path = tuple(shapes.path_parameters[name] for name in row.placeholders)
        everywhere = tuple(status for status, problem in shapes.problems.items() if problem.everywhere)
        rule = shapes.access[row.handler]
        guards = (status for status, problem in shapes.problems.items() if problem.guarded and rule.action is not None)
        return Service(
            handler=handler,
            rule=rule,
            parameters=in_path + tuple(parameter for name in row.takes for parameter in shapes.takes[name]),
            media_types=shapes.bodies[row.body].media_types if row.body else (),
            offers=shapes.offers[row.offers] if row.offers else (),
            partition=shapes.path_parameters[PARTITION_NAME] if row.partitioned else None,
            statuses=frozenset((*dict(row.returns), *row.refuses, *everywhere, *guards, *_ALWAYS)),
            behaviours=behaviours,
        )


def _takes_paths_of(wide: Row, narrow: Row) -> bool:
    """Whether a row has every path of another one, and that one not every path of it."""
    one, other = Pattern.of(wide.path), Pattern.of(narrow.path)
    return one.covers(other) and not other.covers(one)


def _variants(row: Row) -> Iterator[tuple[str, str]]:
    """Name endings and paths of a row: its own path and, when it is partitioned, the one with a partition."""
    yield "", row.path
    if row.partitioned:
        yield "InPartition", PARTITION_PREFIX + row.path
