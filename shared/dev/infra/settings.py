"""Whether apps are told every setting that the code reads, none that Flex Consumption refuses, and who works behind."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from tree_sitter import Node

from shared.dev.infra.source import Finding, Source, children, properties, text_of
from shared.settings import Settings

# Settings that the code reads and no deployment has, each with the reason.
LEFT_OUT = {
    "DICOM_STORAGE": "a connection string has a key; when it is there, the queue trigger does not use the identity"
}
# Settings that only the platform reads.
FOR_THE_PLATFORM = frozenset(
    [
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "AzureWebJobsDisableHomepage",
        "AzureWebJobsStorage__accountName",
        "AzureWebJobsStorage__clientId",
        "AzureWebJobsStorage__credential",
        "DICOM_STORAGE__credential",
        "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
        "PYTHON_ENABLE_INIT_INDEXING",
    ]
)
# What Flex Consumption has in functionAppConfig, does by itself, or does not do (Microsoft's notes on the plan).
FORBIDDEN = frozenset(
    [
        "AzureWebJobsStorage",
        "ENABLE_ORYX_BUILD",
        "FUNCTIONS_EXTENSION_VERSION",
        "FUNCTIONS_MAX_HTTP_CONCURRENCY",
        "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
        "FUNCTIONS_WORKER_PROCESS_COUNT",
        "FUNCTIONS_WORKER_RUNTIME",
        "FUNCTIONS_WORKER_RUNTIME_VERSION",
        "SCM_DO_BUILD_DURING_DEPLOYMENT",
        "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
        "WEBSITE_CONTENTOVERVNET",
        "WEBSITE_CONTENTSHARE",
        "WEBSITE_DNS_SERVER",
        "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT",
        "WEBSITE_RUN_FROM_PACKAGE",
        "WEBSITE_SKIP_CONTENTSHARE_VALIDATION",
        "WEBSITE_TIME_ZONE",
        "WEBSITE_VNET_ROUTE_ALL",
    ]
)
# What these have to say, word by word: what two places must agree on, and who has the background work.
EXACTLY = {
    "AzureWebJobsStorage__accountName": "hostAccountName",
    "AzureWebJobsStorage__credential": "managedidentity",
    "DICOM_STORAGE__credential": "managedidentity",
    "DICOM_STORAGE__accountName": "dataAccountName",
    "DICOM_API_VERSIONS": "join(versions, ',')",
    "DICOM_BACKGROUND": "background ? 'on' : 'off'",
    "DICOM_CORS_ORIGINS": "join(corsOrigins, ',')",
    "DICOM_MAX_REQUEST_BYTES": "string(maxRequestBytes)",
    "DICOM_TRUST_FORWARDED": "inbound == 'frontDoor' ? 'on' : 'off'",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "string(maxRequestBytes + 10485760)",
}
_SETTING = re.compile(r"(?:DICOM|FUNCTIONS|WEBSITE|AzureWebJobs|APPLICATIONINSIGHTS|PYTHON|SCM|ENABLE)\w*")
_APP_MEMBERS = frozenset(["name", "versions", "alwaysReady"])
_APP_NAME = re.compile(r"[a-z0-9]{1,16}")


class _Asked(dict[str, str]):
    """An environment that notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__(DICOM_STORAGE="UseDevelopmentStorage=true")
        self.names: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]  # one type of default is enough
        self.names.add(key)
        return super().get(key, default)


def read_by_the_code() -> set[str]:
    """Names of all settings that shared/settings.py asks for."""
    asked = _Asked()
    Settings.from_env(asked)
    return asked.names


def setting_findings(sources: Mapping[Path, Source]) -> Iterator[Finding]:
    """What is wrong with the settings of apps."""
    told = {name: (source, node) for name, source, node in _told(sources)}
    wanted = (read_by_the_code() - LEFT_OUT.keys()) | FOR_THE_PLATFORM
    yield from (Finding("main.bicep", 1, f"no app is told {name}") for name in sorted(wanted - told.keys()))
    for name, (source, node) in told.items():
        if name in FORBIDDEN or name in LEFT_OUT:
            yield source.finding(node, f"{name} must not be set: {LEFT_OUT.get(name, 'Flex Consumption refuses it')}")
        elif name not in wanted:
            yield source.finding(node, f"nobody reads {name}")
        if name in EXACTLY and text_of(node) != EXACTLY[name]:
            yield source.finding(node, f"{name} must be {EXACTLY[name]}")
    yield from _sites(sources)


def _told(sources: Mapping[Path, Source]) -> Iterator[tuple[str, Source, Node]]:
    """Names and values of all settings, wherever they are put together."""
    for source in sources.values():
        for each in source.of_kind("var"):
            if source.path.suffix == ".bicep" and each.value is not None:
                for item in source.items(each.value):
                    if _SETTING.fullmatch(item.path):
                        yield item.path, source, item.node


def _sites(sources: Mapping[Path, Source]) -> Iterator[Finding]:
    """Apps get these settings and no others, the platform's CORS list is theirs, accounts are two, one works behind."""
    wanted = {
        "properties.siteConfig.cors.allowedOrigins": "corsOrigins",
        "properties": "appSettings",
        "params.background": "i == 0",
        "params.corsOrigins": "corsOrigins",
        "params.dataAccountName": "dataStorage.outputs.name",
        "params.hostAccountName": "hostStorage.outputs.name",
        "params.settings": "serviceSettings",
    }
    found = dict.fromkeys(wanted, "nothing")
    for source in sources.values():
        for each in source.declarations.values():
            if each.value is None or not each.reference.startswith(("Microsoft.Web/sites", "modules/app.bicep")):
                continue
            for item in source.items(each.value):
                if item.path in wanted and (item.path != "properties" or "/config@" in each.reference):
                    found[item.path] = text_of(item.node)
    for path, text in wanted.items():
        if found[path] != text:
            yield Finding("modules/app.bicep", 1, f"{path} of apps must be {text}, not {found[path]}")


def parameter_findings(sources: Mapping[Path, Source], labels: Collection[str]) -> Iterator[Finding]:
    """What is wrong with the apps of an environment, and with who may call them.

    Args:
        sources: the Bicep files.
        labels: versions that are served.
    """
    for source in sources.values():
        if source.path.suffix != ".bicepparam":
            continue
        mode = source.declarations.get("authMode")
        if mode is not None and mode.value is not None and text_of(mode.value) != "jwt":
            yield source.finding(mode.node, "callers need tokens: authMode must be jwt")
        apps = source.declarations.get("apps")
        if apps is not None and apps.value is not None:
            yield from _apps(source, apps.value, labels)


def ending_findings(sources: Mapping[Path, Source], deprecated: Collection[str]) -> Iterator[Finding]:
    """Environments whose workbook would not begin with who still calls the versions that are deprecated."""
    for source in sources.values():
        if source.path.suffix == ".bicepparam":
            given = source.declarations.get("endingVersions")
            named = {text_of(label) for label in children(given.value)} if given and given.value else set()
            at = given.node if given else source.root
            yield from (
                source.finding(at, f"{label} is deprecated: endingVersions must name it")
                for label in sorted(set(deprecated) - named)
            )
            yield from (
                source.finding(at, f"endingVersions names {label}, which is not deprecated")
                for label in sorted(named - set(deprecated))
            )


def _apps(source: Source, value: Node, labels: Collection[str]) -> Iterator[Finding]:
    members = [dict(properties(app)) for app in children(value)]
    if any(each.keys() != _APP_MEMBERS for each in members):
        yield source.finding(value, f"an app has {', '.join(sorted(_APP_MEMBERS))}")
        return
    names = [text_of(each["name"]) for each in members]
    served = [text_of(label) for each in members for label in children(each["versions"])]
    if len(members) > 1 and any(not children(each["versions"]) for each in members):
        yield source.finding(value, "an app with all versions is the only one")
    if not members:
        yield source.finding(value, "there is no app, and the first one has the background work")
    if len(set(names)) < len(names) or not all(_APP_NAME.fullmatch(name) for name in names):
        yield source.finding(value, "names of apps are 1 to 16 small letters and digits, each another one")
    yield from (source.finding(value, fault) for fault in _served_faults(served, labels, len(members)))


def _served_faults(served: Collection[str], labels: Collection[str], apps: int) -> Iterator[str]:
    """What is wrong with who serves which version: each has one app, or one app has all of them."""
    if len(set(served)) < len(served):
        yield "a version is served by one app"
    for label in sorted(set(served) - set(labels)):
        yield f"{label} is no version of this service"
    for label in sorted(set(labels) - set(served)) if served or apps > 1 else ():
        yield f"no app serves {label}, which version headers name"
