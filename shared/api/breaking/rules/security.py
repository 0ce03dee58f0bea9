"""Rules about who may call: requirements of operations, and the schemes they name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.api.breaking.documents import Map
from shared.api.breaking.findings import Level
from shared.api.breaking.model import Requirement
from shared.api.breaking.rulebook import Hit, Rulebook, words


@dataclass(frozen=True, slots=True)
class RequirementsChange:
    """What an operation asks for in both documents; any one requirement will do."""

    base: tuple[Requirement, ...]
    revision: tuple[Requirement, ...]

    def refused(self) -> list[tuple[Requirement, str]]:
        """Ways in that are shut, each with the reason."""
        return [(one, _reason(one, self.revision)) for one in self.base if not _enough(one, self.revision)]


@dataclass(frozen=True, slots=True)
class SchemeChange:
    """A security scheme in both documents."""

    name: str
    base: Map
    revision: Map

    def flows(self, scheme: Map) -> dict[str, Map]:
        """OAuth flows by name."""
        flows = scheme.get("flows")
        return {name: flow for name, flow in flows.items() if isinstance(flow, dict)} if isinstance(flows, dict) else {}


REQUIREMENTS = Rulebook[RequirementsChange]()
SCHEMES = Rulebook[SchemeChange]()

_REFUSED = "clients that call as they used to are refused"
_CONFIGURED = "clients that were set up with the old one cannot get in"
_URLS = ("authorizationUrl", "refreshUrl", "tokenUrl")


@REQUIREMENTS.rule("security-required", Level.ERR, _REFUSED)
def _required(change: RequirementsChange) -> Iterator[Hit]:
    for _, reason in change.refused():
        if reason == "anonymous":
            yield Hit("callers have to prove who they are now", ("security",))


@REQUIREMENTS.rule("security-scheme-required", Level.ERR, _REFUSED)
def _scheme_required(change: RequirementsChange) -> Iterator[Hit]:
    for one, reason in change.refused():
        if reason == "scheme":
            yield Hit(f"{_named(one)} needs another scheme beside it now", ("security",))


@REQUIREMENTS.rule("security-scope-required", Level.ERR, _REFUSED)
def _scope_required(change: RequirementsChange) -> Iterator[Hit]:
    for one, reason in change.refused():
        if reason == "scope":
            yield Hit(f"{_named(one)} needs more scopes now", ("security",))


@REQUIREMENTS.rule("security-alternative-removed", Level.ERR, _REFUSED)
def _alternative_removed(change: RequirementsChange) -> Iterator[Hit]:
    for one, reason in change.refused():
        if reason == "gone":
            yield Hit(f"{_named(one)} is no longer enough", ("security",))


@REQUIREMENTS.rule("security-alternative-added", Level.INFO, "clients that call as they used to still may")
def _alternative_added(change: RequirementsChange) -> Iterator[Hit]:
    if change.refused():
        return
    for one in change.revision:
        if one not in change.base:
            yield Hit(f"{_named(one)} is enough now", ("security",))


@SCHEMES.rule("security-scheme-changed", Level.ERR, _REFUSED)
def _scheme_changed(change: SchemeChange) -> Iterator[Hit]:
    for key in ("type", "in", "name", "scheme"):
        before, after = change.base.get(key), change.revision.get(key)
        if before != after and not _same_name(key, change):
            yield Hit(f"{key} of the scheme {change.name} went from {before} to {after}", (key,))


@SCHEMES.rule("security-bearer-format-changed", Level.ERR, "clients that bring tokens of the old format are refused")
def _bearer_format(change: SchemeChange) -> Iterator[Hit]:
    before, after = change.base.get("bearerFormat"), change.revision.get("bearerFormat")
    if before and before != after:
        what = f"the token format of the scheme {change.name} went from {before} to {after or 'none'}"
        yield Hit(what, ("bearerFormat",))


@SCHEMES.rule("security-openid-url-changed", Level.ERR, _CONFIGURED)
def _openid_url(change: SchemeChange) -> Iterator[Hit]:
    before, after = change.base.get("openIdConnectUrl"), change.revision.get("openIdConnectUrl")
    if before and before != after:
        yield Hit(f"the discovery URL of the scheme {change.name} changed", ("openIdConnectUrl",))


@SCHEMES.rule("security-oauth-flow-removed", Level.ERR, _CONFIGURED)
def _flow_removed(change: SchemeChange) -> Iterator[Hit]:
    for flow in sorted(change.flows(change.base).keys() - change.flows(change.revision).keys()):
        yield Hit(f"the flow {flow} of the scheme {change.name} is gone", ("flows", flow))


@SCHEMES.rule("security-oauth-url-changed", Level.ERR, _CONFIGURED)
def _oauth_url(change: SchemeChange) -> Iterator[Hit]:
    for flow, base, revision in _common_flows(change):
        for key in _URLS:
            if base.get(key) and base.get(key) != revision.get(key):
                yield Hit(f"{key} of the flow {flow} of the scheme {change.name} changed", ("flows", flow, key))


@SCHEMES.rule("security-oauth-scope-removed", Level.ERR, "clients that ask for it get no token")
def _scope_removed(change: SchemeChange) -> Iterator[Hit]:
    for flow, base, revision in _common_flows(change):
        if gone := _scopes(base) - _scopes(revision):
            yield Hit(f"scopes of the scheme {change.name} are gone: {words(gone)}", ("flows", flow, "scopes"))


@SCHEMES.rule("security-oauth-scope-added", Level.INFO, "nobody asks for it yet")
def _scope_added(change: SchemeChange) -> Iterator[Hit]:
    for flow, base, revision in _common_flows(change):
        if new := _scopes(revision) - _scopes(base):
            yield Hit(f"the scheme {change.name} has more scopes: {words(new)}", ("flows", flow, "scopes"))


def _common_flows(change: SchemeChange) -> Iterator[tuple[str, Map, Map]]:
    base, revision = change.flows(change.base), change.flows(change.revision)
    for flow in sorted(base.keys() & revision.keys()):
        yield flow, base[flow], revision[flow]


def _scopes(flow: Map) -> frozenset[str]:
    scopes = flow.get("scopes")
    return frozenset(scopes) if isinstance(scopes, dict) else frozenset()


def _same_name(key: str, change: SchemeChange) -> bool:
    """Whether two spellings are one name; those of headers and of HTTP schemes have no case (RFC 9110 §5.1, §11.1)."""
    headers = change.base.get("in") == change.revision.get("in") == "header"
    caseless = key == "scheme" or (key == "name" and headers)
    return caseless and str(change.base.get(key)).lower() == str(change.revision.get(key)).lower()


def _enough(brought: Requirement, asked: tuple[Requirement, ...]) -> bool:
    """Whether a caller who brings something fulfils one of the requirements."""
    scopes = dict(brought)
    return any(all(name in scopes and needed <= scopes[name] for name, needed in one) for one in asked)


def _reason(brought: Requirement, asked: tuple[Requirement, ...]) -> str:
    """Why it is not enough: nothing was brought, or a scheme or a scope is missing, or nothing like it will do."""
    if not brought:
        return "anonymous"
    names = {name for name, _ in brought}
    if any({name for name, _ in one} == names for one in asked):
        return "scope"
    return "scheme" if any({name for name, _ in one} > names for one in asked) else "gone"


def _named(requirement: Requirement) -> str:
    if not requirement:
        return "no proof at all"
    return " with ".join(
        f"{name} ({words(scopes)})" if scopes else name
        for name, scopes in sorted(requirement, key=lambda pair: (pair[0], sorted(pair[1])))
    )
