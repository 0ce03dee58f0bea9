"""Rules about parameters of operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.api.breaking.findings import Level
from shared.api.breaking.model import Operation, Parameter
from shared.api.breaking.rulebook import Hit, Rulebook


@dataclass(frozen=True, slots=True)
class ParametersChange:
    """The parameters of an operation in both documents; those of the path go by position and never come or go."""

    base: Operation
    revision: Operation

    def moved(self) -> list[tuple[Parameter, Parameter]]:
        """Parameters of the same name in another place."""
        return [(old, new) for old, new in self._alike() if old.place != new.place]

    def respelled(self) -> list[tuple[Parameter, Parameter]]:
        """Parameters in the same place, of the same name but for its case."""
        return [(old, new) for old, new in self._alike() if old.place == new.place]

    def gone(self) -> list[Parameter]:
        """Parameters that are nowhere any more."""
        known = [old for old, _ in self._alike()]
        return [old for old in self._only(self.base, self.revision) if old not in known]

    def new(self) -> list[Parameter]:
        """Parameters that were nowhere before."""
        known = [new for _, new in self._alike()]
        return [new for new in self._only(self.revision, self.base) if new not in known]

    def kept(self) -> list[tuple[Parameter, Parameter]]:
        """Parameters that are in the same place in both."""
        keys = sorted(self.base.parameters.keys() & self.revision.parameters.keys())
        return [(self.base.parameters[key], self.revision.parameters[key]) for key in keys] + self.respelled()

    def _alike(self) -> list[tuple[Parameter, Parameter]]:
        gone, new = self._only(self.base, self.revision), self._only(self.revision, self.base)
        return [(old, one) for old in gone for one in new if old.name.lower() == one.name.lower()]

    def _only(self, one: Operation, other: Operation) -> list[Parameter]:
        keys = sorted(key for key in one.parameters.keys() - other.parameters.keys() if key[0] != "path")
        return [one.parameters[key] for key in keys]


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """One parameter or header in both documents."""

    base: Parameter
    revision: Parameter


SENT = Rulebook[ParametersChange]()
WEBHOOKS = Rulebook[ParametersChange]()
HEADERS = Rulebook[ParameterChange]()

_MEANS_ELSE = "a client that leaves it out means something else now"


def at(parameter: Parameter) -> tuple[str, ...]:
    """Where a parameter is, seen from its operation."""
    return ("parameters", parameter.place, parameter.name)


def _called(parameter: Parameter) -> str:
    return f"the {parameter.place} parameter {parameter.name}"


@SENT.rule("request-parameter-removed", Level.ERR, "what a client asks for with it is left out or refused")
def _removed(change: ParametersChange) -> Iterator[Hit]:
    for parameter in change.gone():
        yield Hit(f"{_called(parameter)} is gone", at(parameter))


@SENT.rule("request-parameter-moved", Level.ERR, "a client sends it where nobody looks for it")
def _moved(change: ParametersChange) -> Iterator[Hit]:
    for old, new in change.moved():
        yield Hit(f"{_called(old)} is in the {new.place} now", at(old))


@SENT.rule("request-parameter-case-changed", Level.ERR, "names of parameters have a case, so a client may not be heard")
def _case_changed(change: ParametersChange) -> Iterator[Hit]:
    for old, new in change.respelled():
        yield Hit(f"{_called(old)} is written {new.name} now", at(old))


@SENT.rule("request-required-parameter-added", Level.ERR, "a client that does not know it is refused")
def _required_added(change: ParametersChange) -> Iterator[Hit]:
    for parameter in change.new():
        if parameter.required:
            yield Hit(f"there is a new {_called(parameter).removeprefix('the ')}, and it is required", at(parameter))


@SENT.rule("request-parameter-added", Level.INFO, "clients may send more than before")
def _added(change: ParametersChange) -> Iterator[Hit]:
    for parameter in change.new():
        if not parameter.required:
            yield Hit(f"there is a new {_called(parameter).removeprefix('the ')}", at(parameter))


@SENT.rule("request-parameter-became-required", Level.ERR, "a client that leaves it out is refused")
def _became_required(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if revision.required and not base.required and base.place != "path":
            yield Hit(f"{_called(base)} is required now", at(base))


@SENT.rule("request-parameter-became-optional", Level.INFO, "clients may leave it out")
def _became_optional(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if base.required and not revision.required and base.place != "path":
            yield Hit(f"{_called(base)} is optional now", at(base))


@SENT.rule("request-parameter-default-added", Level.ERR, _MEANS_ELSE)
def _default_added(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if revision.default and not base.default:
            yield Hit(f"{_called(base)} has the default {revision.default} now", (*at(base), "schema", "default"))


@SENT.rule("request-parameter-default-changed", Level.ERR, _MEANS_ELSE)
def _default_changed(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if base.default and revision.default and base.default != revision.default:
            what = f"the default of {_called(base)} went from {base.default} to {revision.default}"
            yield Hit(what, (*at(base), "schema", "default"))


@SENT.rule("request-parameter-default-removed", Level.ERR, _MEANS_ELSE)
def _default_removed(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if base.default and not revision.default:
            yield Hit(f"{_called(base)} has lost its default {base.default}", (*at(base), "schema", "default"))


@SENT.rule("request-parameter-style-changed", Level.ERR, "what clients write is read in another way")
def _style_changed(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if (base.style, base.explode) != (revision.style, revision.explode):
            what = f"{_called(base)} went from {_style(base)} to {_style(revision)}"
            yield Hit(what, (*at(base), "style"))


@SENT.rule("request-parameter-media-type-changed", Level.ERR, "what clients write is read in another way")
def _media_changed(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if base.media != revision.media:
            what = f"{_called(base)} went from {base.media or 'plain'} to {revision.media or 'plain'}"
            yield Hit(what, (*at(base), "content"))


@SENT.rule("request-parameter-empty-value-refused", Level.ERR, "a client that sends it without a value is refused")
def _empty_refused(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if "allowEmptyValue" in base.flags - revision.flags:
            yield Hit(f"{_called(base)} may no longer be empty", (*at(base), "allowEmptyValue"))


@SENT.rule("request-parameter-reserved-characters-refused", Level.ERR, "clients that send such characters are misread")
def _reserved_refused(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if "allowReserved" in base.flags - revision.flags:
            yield Hit(f"{_called(base)} may no longer have reserved characters", (*at(base), "allowReserved"))


@SENT.rule("request-parameter-more-allowed", Level.INFO, "clients may send more than before")
def _more_allowed(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        for flag in sorted(revision.flags - base.flags):
            yield Hit(f"{_called(base)} has {flag} now", (*at(base), flag))


@SENT.rule("request-parameter-deprecated", Level.INFO, "it still works")
def _deprecated(change: ParametersChange) -> Iterator[Hit]:
    for base, revision in change.kept():
        if revision.deprecated and not base.deprecated:
            yield Hit(f"{_called(base)} is deprecated", at(base))


@WEBHOOKS.rule("webhook-parameter-removed", Level.ERR, "a client that reads it finds nothing")
def _webhook_removed(change: ParametersChange) -> Iterator[Hit]:
    for parameter in change.gone():
        yield Hit(f"{_called(parameter)} is gone", at(parameter))


@HEADERS.rule("response-header-became-optional", Level.ERR, "a client that relies on it may find nothing")
def _header_optional(change: ParameterChange) -> Iterator[Hit]:
    if change.base.required and not change.revision.required:
        yield Hit(f"the header {change.base.name}, which was always there, may be absent")


@HEADERS.rule("response-header-became-required", Level.INFO, "clients may rely on it")
def _header_required(change: ParameterChange) -> Iterator[Hit]:
    if change.revision.required and not change.base.required:
        yield Hit(f"the header {change.base.name} is always there now")


@HEADERS.rule("response-header-case-changed", Level.WARN, "a client that compares names as texts does not find it")
def _header_case(change: ParameterChange) -> Iterator[Hit]:
    if change.base.name != change.revision.name:
        yield Hit(f"the header {change.base.name} is written {change.revision.name} now")


@HEADERS.rule("response-header-style-changed", Level.ERR, "clients read it in another way than it is written")
def _header_style(change: ParameterChange) -> Iterator[Hit]:
    base, revision = change.base, change.revision
    if (base.media, base.explode) != (revision.media, revision.explode):
        yield Hit(f"the header {base.name} is written out in another way")


def _style(parameter: Parameter) -> str:
    return f"{parameter.style}{' with each item alone' if parameter.explode else ''}"
