"""Rules about bodies: request bodies, statuses, representations, headers and links of answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.api.breaking.findings import Level
from shared.api.breaking.model import Body, Media, Response
from shared.api.breaking.rulebook import Hit, Rulebook, Side, words


@dataclass(frozen=True, slots=True)
class BodyChange:
    """The request body of an operation in both documents; None for none."""

    base: Body | None
    revision: Body | None


@dataclass(frozen=True, slots=True)
class StatusesChange:
    """The statuses of an operation in both documents."""

    base: Mapping[str, Response]
    revision: Mapping[str, Response]

    def gone(self) -> list[str]:
        """Statuses that the revision does not speak of, in no wider way either."""
        return sorted(status for status in self.base if status_for(status, self.revision) is None)

    def new(self) -> list[str]:
        """Statuses that the base did not speak of by themselves."""
        return sorted(self.revision.keys() - self.base.keys())


@dataclass(frozen=True, slots=True)
class ResponseChange:
    """One response in both documents."""

    base: Response
    revision: Response


class ContentChange:
    """Representations in both documents."""

    def __init__(self, base: Mapping[str, Media], revision: Mapping[str, Media], side: Side) -> None:
        """The same content before and after, on its way to the service or from it."""
        self.base = base
        self.revision = revision
        self.side = side
        self.pairs: list[tuple[Media, Media]] = []
        self.gone: list[str] = []
        for name in sorted(base):
            counterpart = self._counterpart(name)
            if counterpart is None:
                self.gone.append(name)
            else:
                self.pairs.append((base[name], revision[counterpart]))
        taken = {two.name for _, two in self.pairs}
        self.new = sorted(name for name in revision.keys() - taken if not any(covers(one, name) for one in base))

    def _counterpart(self, name: str) -> str | None:
        if name in self.revision:
            return name
        wider = [other for other in sorted(self.revision) if covers(other, name)]
        narrower = [other for other in sorted(self.revision) if covers(name, other)]
        found = wider if self.side is Side.REQUEST else narrower + wider
        return found[0] if found else None


BODIES = Rulebook[BodyChange]()
STATUSES = Rulebook[StatusesChange]()
WEBHOOK_STATUSES = Rulebook[StatusesChange]()
RESPONSES = Rulebook[ResponseChange]()
SENT = Rulebook[ContentChange]()
RECEIVED = Rulebook[ContentChange]()

_MORE = "clients may send more than before"


def covers(wide: str, narrow: str) -> bool:
    """Whether a media range holds another one or a media type (RFC 9110 §12.5.1)."""
    wide_essence, *wide_parameters = wide.split("; ")
    narrow_essence, *narrow_parameters = narrow.split("; ")
    if not set(wide_parameters) <= set(narrow_parameters):
        return False
    return wide_essence in (narrow_essence, "*/*", f"{narrow_essence.partition('/')[0]}/*")


def status_for(status: str, responses: Mapping[str, Response]) -> str | None:
    """The key that speaks of a status: itself, its class such as 2XX, or default."""
    return next((key for key in (status, f"{status[:1]}XX", "default") if key in responses), None)


@BODIES.rule("request-required-body-added", Level.ERR, "a client that sends none is refused")
def _required_body_added(change: BodyChange) -> Iterator[Hit]:
    if change.base is None and change.revision is not None and change.revision.required:
        yield Hit("there is a body now, and it is required")


@BODIES.rule("request-body-added", Level.INFO, _MORE)
def _body_added(change: BodyChange) -> Iterator[Hit]:
    if change.base is None and change.revision is not None and not change.revision.required:
        yield Hit("there is a body now")


@BODIES.rule("request-body-removed", Level.ERR, "what clients send is left out or refused")
def _body_removed(change: BodyChange) -> Iterator[Hit]:
    if change.base is not None and change.revision is None:
        yield Hit("the body is gone")


@BODIES.rule("request-body-became-required", Level.ERR, "a client that sends none is refused")
def _body_became_required(change: BodyChange) -> Iterator[Hit]:
    if change.base and change.revision and change.revision.required and not change.base.required:
        yield Hit("the body is required now", ("required",))


@BODIES.rule("request-body-became-optional", Level.INFO, "clients may leave it out")
def _body_became_optional(change: BodyChange) -> Iterator[Hit]:
    if change.base and change.revision and change.base.required and not change.revision.required:
        yield Hit("the body is optional now", ("required",))


@STATUSES.rule("response-success-status-removed", Level.ERR, "clients that wait for it get another one")
def _success_removed(change: StatusesChange) -> Iterator[Hit]:
    for status in change.gone():
        if not _is_error(status):
            yield Hit(f"the status {status} is gone", (status,))


@STATUSES.rule("response-error-status-removed", Level.ERR, "clients that handle it get another one")
def _error_removed(change: StatusesChange) -> Iterator[Hit]:
    for status in change.gone():
        if _is_error(status):
            yield Hit(f"the status {status} is gone", (status,))


@STATUSES.rule("response-status-generalised", Level.WARN, "clients made from the document do not find it by its number")
def _generalised(change: StatusesChange) -> Iterator[Hit]:
    for status in sorted(change.base.keys() - change.revision.keys()):
        key = status_for(status, change.revision)
        if key is not None:
            yield Hit(f"the status {status} is only a part of {key} now", (status,))


@STATUSES.rule("response-success-status-added", Level.INFO, "the statuses that were there still are")
def _success_added(change: StatusesChange) -> Iterator[Hit]:
    for status in change.new():
        if not _is_error(status):
            yield Hit(f"there is a new status {status}", (status,))


@STATUSES.rule("response-error-status-added", Level.INFO, "clients have to be ready for any error")
def _error_added(change: StatusesChange) -> Iterator[Hit]:
    for status in change.new():
        if _is_error(status):
            yield Hit(f"there is a new error status {status}", (status,))


@WEBHOOK_STATUSES.rule("webhook-answer-refused", Level.ERR, "a client that answers so is taken to have failed")
def _answer_refused(change: StatusesChange) -> Iterator[Hit]:
    for status in change.gone():
        yield Hit(f"the status {status} is no longer an answer", (status,))


@RESPONSES.rule("response-required-header-removed", Level.ERR, "a client that reads it finds nothing")
def _required_header_removed(change: ResponseChange) -> Iterator[Hit]:
    for name in sorted(change.base.headers.keys() - change.revision.headers.keys()):
        if change.base.headers[name].required:
            header = change.base.headers[name].name
            yield Hit(f"the header {header}, which was always there, is gone", ("headers", header))


@RESPONSES.rule("response-optional-header-removed", Level.ERR, "a client that reads it finds nothing")
def _optional_header_removed(change: ResponseChange) -> Iterator[Hit]:
    for name in sorted(change.base.headers.keys() - change.revision.headers.keys()):
        if not change.base.headers[name].required:
            header = change.base.headers[name].name
            yield Hit(f"the header {header} is gone", ("headers", header))


@RESPONSES.rule("response-header-added", Level.INFO, "clients leave alone what they do not know")
def _header_added(change: ResponseChange) -> Iterator[Hit]:
    for name in sorted(change.revision.headers.keys() - change.base.headers.keys()):
        header = change.revision.headers[name].name
        yield Hit(f"there is a new header {header}", ("headers", header))


@RESPONSES.rule("response-link-removed", Level.WARN, "clients that follow it find nothing")
def _link_removed(change: ResponseChange) -> Iterator[Hit]:
    if gone := change.base.links - change.revision.links:
        yield Hit(f"links are gone: {words(gone)}", ("links",))


@SENT.rule("request-media-type-removed", Level.ERR, "a client that sends it is refused")
def _sent_media_removed(change: ContentChange) -> Iterator[Hit]:
    for name in change.gone:
        yield Hit(f"the media type {name} is no longer accepted", ("content", name))


@SENT.rule("request-media-type-added", Level.INFO, _MORE)
def _sent_media_added(change: ContentChange) -> Iterator[Hit]:
    for name in change.new:
        yield Hit(f"the media type {name} is accepted now", ("content", name))


@SENT.rule("request-schema-added", Level.ERR, "some of what clients send may be refused")
def _sent_schema_added(change: ContentChange) -> Iterator[Hit]:
    for base, revision in change.pairs:
        if base.schema.open and not revision.schema.open:
            yield Hit(f"content of {base.name} has a schema now", ("content", base.name, "schema"))


@SENT.rule("request-schema-removed", Level.INFO, _MORE)
def _sent_schema_removed(change: ContentChange) -> Iterator[Hit]:
    for base, revision in change.pairs:
        if revision.schema.open and not base.schema.open:
            yield Hit(f"content of {base.name} has no schema any more", ("content", base.name, "schema"))


@SENT.rule("request-encoding-changed", Level.ERR, "parts are read in another way than clients write them")
def _sent_encoding_changed(change: ContentChange) -> Iterator[Hit]:
    yield from _encodings(change)


@RECEIVED.rule("response-media-type-removed", Level.ERR, "a client that asks for it gets nothing it can read")
def _received_media_removed(change: ContentChange) -> Iterator[Hit]:
    for name in change.gone:
        yield Hit(f"the media type {name} is no longer offered", ("content", name))


@RECEIVED.rule("response-media-type-generalised", Level.ERR, "clients cannot tell what they get")
def _received_media_generalised(change: ContentChange) -> Iterator[Hit]:
    for base, revision in change.pairs:
        if base.name != revision.name and not covers(base.name, revision.name):
            yield Hit(f"the media type went from {base.name} to {revision.name}", ("content", base.name))


@RECEIVED.rule(
    "response-media-type-narrowed", Level.WARN, "a client that compares the Content-Type as a text does not find it"
)
def _received_media_narrowed(change: ContentChange) -> Iterator[Hit]:
    for base, revision in change.pairs:
        if base.name != revision.name and covers(base.name, revision.name):
            yield Hit(f"the media type went from {base.name} to {revision.name}", ("content", base.name))


@RECEIVED.rule("response-media-type-added", Level.INFO, "clients that ask for what they know still get it")
def _received_media_added(change: ContentChange) -> Iterator[Hit]:
    for name in change.new:
        yield Hit(f"the media type {name} is offered now", ("content", name))


@RECEIVED.rule("response-schema-removed", Level.ERR, "clients no longer know what they get")
def _received_schema_removed(change: ContentChange) -> Iterator[Hit]:
    for base, revision in change.pairs:
        if revision.schema.open and not base.schema.open:
            yield Hit(f"content of {base.name} has no schema any more", ("content", base.name, "schema"))


@RECEIVED.rule("response-schema-added", Level.INFO, "clients know more of what they get")
def _received_schema_added(change: ContentChange) -> Iterator[Hit]:
    for base, revision in change.pairs:
        if base.schema.open and not revision.schema.open:
            yield Hit(f"content of {base.name} has a schema now", ("content", base.name, "schema"))


@RECEIVED.rule("response-encoding-changed", Level.ERR, "clients read parts in another way than they are written")
def _received_encoding_changed(change: ContentChange) -> Iterator[Hit]:
    yield from _encodings(change)


def _encodings(change: ContentChange) -> Iterator[Hit]:
    for base, revision in change.pairs:
        if base.encoding != revision.encoding:
            yield Hit(f"parts of {base.name} are written in another way", ("content", base.name, "encoding"))


def _is_error(status: str) -> bool:
    """Whether a status is one of refusal or failure; default stands for those that are not listed."""
    return status[:1] in ("4", "5") or status == "default"
