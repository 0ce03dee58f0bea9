"""What no deployment of this service may do without: no keys, TLS, least roles, one plan, and alerts that can fire."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tree_sitter import Node

from shared.dev.infra.properties import resources
from shared.dev.infra.source import Declaration, Finding, Source, children, everywhere, text_of

# By type of resource: what has to be said, and in these words.
MUST = {
    "Microsoft.Storage/storageAccounts": {
        "properties.allowSharedKeyAccess": "false",
        "properties.allowBlobPublicAccess": "false",
        "properties.allowCrossTenantReplication": "false",
        "properties.minimumTlsVersion": "TLS1_2",
        "properties.supportsHttpsTrafficOnly": "true",
        "properties.networkAcls.bypass": "AzureServices",
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {"properties.publicAccess": "None"},
    "Microsoft.Web/serverfarms": {"sku.name": "FC1", "sku.tier": "FlexConsumption", "properties.reserved": "true"},
    "Microsoft.Web/sites": {
        "kind": "functionapp,linux",
        "identity.type": "UserAssigned",
        "properties.httpsOnly": "true",
        "properties.siteConfig.minTlsVersion": "1.2",
        "properties.siteConfig.scmMinTlsVersion": "1.2",
        "properties.siteConfig.ftpsState": "Disabled",
        "properties.functionAppConfig.runtime.name": "python",
        "properties.functionAppConfig.runtime.version": "3.13",
        "properties.functionAppConfig.deployment.storage.authentication.type": "UserAssignedIdentity",
    },
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": {"properties.allow": "false"},
    "Microsoft.Insights/components": {"properties.DisableLocalAuth": "true"},
    "Microsoft.OperationalInsights/workspaces": {"properties.features.disableLocalAuth": "true"},
    "Microsoft.Authorization/roleAssignments": {"properties.principalType": "ServicePrincipal"},
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": {
        "properties.filter.includedEventTypes": "Microsoft.Storage.BlobCreated",
        "properties.filter.subjectBeginsWith": "/blobServices/default/containers/${importContainer}/blobs/",
        "properties.deliveryWithResourceIdentity.destination.endpointType": "StorageQueue",
        "properties.deliveryWithResourceIdentity.destination.properties.queueName": "importContainer",
    },
    "Microsoft.Cdn/profiles/afdEndpoints/routes": {
        "properties.httpsRedirect": "Enabled",
        "properties.forwardingProtocol": "HttpsOnly",
    },
    "Microsoft.Cdn/profiles/ruleSets/rules": {
        "properties.actions.parameters.headerAction": "Delete",
        "properties.actions.parameters.headerName": "X-Forwarded-Prefix",
    },
    "Microsoft.Insights/metricAlerts": {"properties.enabled": "true"},
    "Microsoft.Insights/scheduledQueryRules": {"properties.enabled": "true"},
    "Microsoft.Insights/workbooks": {"kind": "shared", "properties.category": "workbook"},
}
# Built-in roles by their ids, which are the same everywhere. Any other id in the files is a finding.
ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "blobDataOwner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "blobDataContributor",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "tableDataContributor",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "queueDataContributor",
    "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a": "queueMessageSender",
    "3913510d-42f4-4e42-8a64-420c390055eb": "metricsPublisher",
}
# Who gets what, by the name of the module that gives it. The host keeps locks and keys in blobs that it owns.
GIVEN = {
    "dataRoles": {"blobDataContributor", "tableDataContributor", "queueDataContributor"},
    "hostRoles": {"blobDataOwner", "tableDataContributor", "queueDataContributor"},
    "topicRoles": {"queueMessageSender"},
}
# What Flex Consumption refuses or ignores in a site, and what would carry settings past the one resource that has them.
FORBIDDEN_PROPERTIES = frozenset(
    ["alwaysOn", "appSettings", "connectionStrings", "linuxFxVersion", "netFrameworkVersion", "use32BitWorkerProcess"]
)
ALERTS = frozenset(["server-errors", "given-up-work", "no-sweep"])

_KEYS = re.compile(r"list(?:[A-Z]\w*)?(?:Keys|Secrets|Sas|ConnectionStrings|Credentials)")
_KEY_TEXTS = ("accountkey=", "sharedaccesskey", "sharedaccesssignature=", "sig=")
_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LINE = re.compile(r"Message startswith '([^']+)'")


def policy_findings(sources: Mapping[Path, Source], code: Path) -> Iterator[Finding]:
    """Everything that is against the rules.

    Args:
        sources: the Bicep files.
        code: the folder of the service's own code, for the lines of its log.
    """
    yield from _musts(sources)
    for source in sources.values():
        yield from _no_keys(source)
        yield from _known_ids(source)
        yield from _given_roles(source)
        yield from _log_lines(source, code)
    yield from _accounts_close(sources)
    yield from _alerts(sources)


def _musts(sources: Mapping[Path, Source]) -> Iterator[Finding]:
    seen: set[str] = set()
    for source, resource, kind in resources(sources):
        name = kind.partition("@")[0]
        if resource.existing or resource.value is None:
            continue
        seen.add(name)
        items = {item.path: item.node for item in source.items(resource.value)}
        for path, word in MUST.get(name, {}).items():
            found = {text_of(each) for each in source.literals(items[path])} if path in items else {"nothing"}
            if found != {word}:
                yield source.finding(resource.node, f"{name}: {path} must be {word}, not {' or '.join(sorted(found))}")
        for path, node in items.items():
            if path.rpartition(".")[2] in FORBIDDEN_PROPERTIES:
                yield source.finding(node, f"{path} must not be set on Flex Consumption")
    yield from (Finding("main.bicep", 1, f"there is no {name}") for name in sorted(MUST.keys() - seen))


def _no_keys(source: Source) -> Iterator[Finding]:
    for node in everywhere(source.root):
        if node.type in ("identifier", "property_identifier") and _KEYS.fullmatch(text_of(node)):
            yield source.finding(node, f"{text_of(node)} reads a key; use an identity")
        if node.type == "string" and any(each in text_of(node).lower() for each in _KEY_TEXTS):
            yield source.finding(node, "a key, or a place for one; use an identity")


def _known_ids(source: Source) -> Iterator[Finding]:
    for node in everywhere(source.root):
        if node.type == "string":
            for found in _ID.findall(text_of(node)):
                if found.lower() not in ROLES:
                    yield source.finding(node, f"{found} is no role that is given here")
    table = source.declarations.get("roleIds")
    for item in source.items(table.value) if table and table.value else ():
        if ROLES.get(text_of(item.node)) != item.path:
            yield source.finding(item.node, f"{item.path} has the id of another role")


def _given_roles(source: Source) -> Iterator[Finding]:
    for module in source.of_kind("module"):
        if not module.reference.endswith("storage-roles.bicep") or module.value is None:
            continue
        given = next((item.node for item in source.items(module.value) if item.path == "params.roles"), None)
        words = {text_of(each) for each in source.literals(given)} if given is not None else set()
        if words != GIVEN.get(module.name):
            wanted = ", ".join(sorted(GIVEN.get(module.name, {"nothing"})))
            yield source.finding(module.node, f"{module.name} gives {wanted}; no more and no less")


def _accounts_close(sources: Mapping[Path, Source]) -> Iterator[Finding]:
    """With private endpoints an account refuses the internet, and each of its services has an endpoint."""
    for source, resource, kind in resources(sources):
        if kind.startswith("Microsoft.Storage/storageAccounts@") and resource.value and not resource.existing:
            rule = _text(source, resource.value, "properties.networkAcls.defaultAction")
            if rule != "privateOnly ? 'Deny' : 'Allow'":
                yield source.finding(resource.node, "networkAcls.defaultAction must follow privateOnly")
    for source in sources.values():
        services = source.declarations.get("storageServices")
        if services is None or services.kind != "var" or services.value is None:
            continue
        if sorted(text_of(each) for each in children(services.value)) != ["blob", "queue", "table"]:
            yield source.finding(services.node, "the service uses blob, queue and table")


def _text(source: Source, node: Node, path: str) -> str:
    return next((text_of(item.node) for item in source.items(node) if item.path == path), "")


def _log_lines(source: Source, code: Path) -> Iterator[Finding]:
    """An alert on a line of the log is on one that the code writes."""
    wanted = [
        (node, line)
        for node in everywhere(source.root)
        if node.type == "string"
        for line in _LINE.findall(text_of(node))
    ]
    if not wanted:
        return
    written = "\n".join(path.read_text(encoding="utf-8") for path in _code_files(code))
    for node, line in wanted:
        if f'"{line}' not in written:
            yield source.finding(node, f"no line of the log begins with {line!r}")


def _code_files(code: Path) -> Iterable[Path]:
    return (path for path in code.rglob("*.py") if "dev" not in path.relative_to(code).parts)


def _alerts(sources: Mapping[Path, Source]) -> Iterator[Finding]:
    listed: set[str] = set()
    for source in sources.values():
        named: Declaration | None = source.declarations.get("logAlerts")
        if named is not None and named.value is not None:
            listed |= {text_of(item.node) for item in source.items(named.value) if item.path == "name"}
    yield from (Finding("main.bicep", 1, f"there is no alert {name}") for name in sorted(ALERTS - listed))
