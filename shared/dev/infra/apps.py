"""What each app of an environment is told, and which paths come to it: tried with the code that reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tree_sitter import Node

from shared.api.labels import Label
from shared.dev.infra.source import Declaration, Finding, Source, children
from shared.dev.infra.values import Values
from shared.settings import Settings, SettingsError

_APP_FILE = "modules/app.bicep"
_ROUTES_FILE = "modules/front-door-routes.bicep"


@dataclass(frozen=True, slots=True)
class App:
    """An app of an environment.

    Attributes:
        name: its name in the list.
        versions: labels it serves; empty for all.
        settings: what it is told.
        paths: patterns of paths that Front Door gives it.
    """

    name: str
    versions: tuple[str, ...]
    settings: Mapping[str, str]
    paths: tuple[str, ...]


def apps_of(environment: Source, sources: Mapping[Path, Source]) -> tuple[App, ...]:
    """The apps that a parameter file makes.

    Args:
        environment: the parameter file.
        sources: all Bicep files, without any other finding.
    """
    by_file = {source.file: source for source in sources.values()}
    main, app_file, routes_file = by_file["main.bicep"], by_file[_APP_FILE], by_file[_ROUTES_FILE]
    own = Values(environment, {})
    values = Values(main, {each.name: own.named(each.name) for each in environment.of_kind("var")})
    module = main.declarations["functionApps"]
    found = []
    for place, app in enumerate(values.named("apps")):
        told = values.with_names({"app": app, "i": place}).of(_body(module))
        settings = Values(app_file, told["params"]).named("appSettings")
        routes = Values(routes_file, {"app": app, "i": place})
        paths = routes.of(_body(routes_file.declarations["routes"]))["properties"]["patternsToMatch"]
        written = {name: str(value) for name, value in settings.items()}
        found.append(App(app["name"], tuple(app["versions"]), written, tuple(paths)))
    return tuple(found)


def app_findings(sources: Mapping[Path, Source], labels: Sequence[str]) -> Iterator[Finding]:
    """Settings that the code refuses, background work in none or two, and versions whose paths go elsewhere.

    Args:
        sources: the Bicep files.
        labels: versions that are served.
    """
    for source in sources.values():
        if source.path.suffix != ".bicepparam":
            continue
        apps = apps_of(source, sources)
        for fault in (*_setting_faults(apps), *_path_faults(apps, labels)):
            yield Finding(source.file, 1, fault)


def _setting_faults(apps: Sequence[App]) -> Iterator[str]:
    read: list[Settings] = []
    for app in apps:
        try:
            read.append(Settings.from_env(app.settings))
        except SettingsError as error:
            yield f"app {app.name} would not start: {error}"
            return
    behind = [app.name for app, settings in zip(apps, read, strict=True) if settings.background]
    if len(behind) != 1:
        yield f"one app has the background work, not {len(behind)}"
    for app, settings in zip(apps, read, strict=True):
        if settings.api_versions != app.versions:
            yield f"app {app.name} is told other versions than its own"


def _path_faults(apps: Sequence[App], labels: Sequence[str]) -> Iterator[str]:
    """Each version's paths come to the app that serves it, whatever is asked for; the rest to the first one."""
    wanted = dict.fromkeys(("/versions", "/changes", "/health/ready", "/v9/studies", "/"), apps[0].name)
    for app in apps:
        for label in app.versions or labels:
            for word in (label, label.replace(".0-", "-"), label if set(label) & {"-", "."} else f"{label}.0"):
                wanted |= dict.fromkeys((f"/{word}", f"/{word}/studies", f"/{word}/api.yaml"), app.name)
    for path, name in wanted.items():
        if _served_by(path, apps) != name:
            yield f"{path} does not come to {name}"
    for app in apps[1:]:
        yield from (
            f"{path} is no way to write a version of {app.name}" for path in app.paths if not _is_own(path, app)
        )


def _is_own(path: str, app: App) -> bool:
    served = [label for text in app.versions if (label := Label.parse(text))]
    return any(label.spelled(path.strip("/*")) for label in served)


def _served_by(path: str, apps: Sequence[App]) -> str:
    """The app with the longest pattern that fits, as Front Door chooses."""
    fitting = [(len(pattern), app.name) for app in apps for pattern in app.paths if _fits(pattern, path)]
    return max(fitting)[1] if fitting else ""


def _fits(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.lower().startswith(pattern[:-1].lower())
    return path.lower() == pattern.lower()


def _body(declared: Declaration) -> Node:
    """What a loop makes of each item."""
    assert declared.value is not None, "loops have a body; names are checked before"
    node = declared.value
    while node.type in ("for_statement", "if_statement"):
        node = children(node)[-1]
    return node
