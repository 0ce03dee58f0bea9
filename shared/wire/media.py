"""Media types: what a client sends, what it accepts, and which representation on offer it gets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from shared.errors import NotAcceptable, UnsupportedMediaType

AS_STORED = "*"
"""The transfer-syntax value that asks for the stored bytes, untouched (PS3.18 §8.7.3.5.2)."""

_ANY = "*/*"
# PS3.18 Annex F calls the first one the type of DICOM JSON; clients use both words for the same thing.
_JSON = frozenset({"application/dicom+json", "application/json"})
# No client has more to say than this; what follows is ignored, which bounds the work one header can cause.
_MAX_RANGES = 64

_OWS = " \t"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MEDIA_TYPE = re.compile(rf"{_TOKEN.pattern}/{_TOKEN.pattern}")
# A quoted string as one piece, or a separator. Possessive, so that broken quotes cost no more than sound ones.
_PIECE = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[,;]', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# Wider than a token: clients leave the quotes away around values that need them (type=application/dicom).
_BARE_VALUE = re.compile(r'[^\x00-\x20\x7f"]*')
_WEIGHT = re.compile(r"0(?:\.\d*)?|1(?:\.0*)?|\.\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Offer:
    """One representation a resource can be given in (contract C3.1).

    Attributes:
        media_type: for example `application/dicom`, lower case.
        multipart: True when it comes as parts of a `multipart/related`.
        transfer_syntaxes: UIDs that may be asked for, `*` for "as stored"; empty where the idea does not apply.
        default_syntax: the one taken when the client names none.
        wildcard: True when `*/*` (bare for single part and multipart, or as `type="*/*"`) may choose this offer.
        wildcard_syntax: the transfer syntax taken when a wildcard chose it and named none.
    """

    media_type: str
    multipart: bool = False
    transfer_syntaxes: tuple[str, ...] = ()
    default_syntax: str | None = None
    wildcard: bool = False
    wildcard_syntax: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The negotiated representation.

    Attributes:
        media_type: of the payload (of each part when multipart).
        multipart: whether it is framed as `multipart/related`.
        transfer_syntax: UID, `*` for as stored, or None where the idea does not apply.
        others: what else the client accepts, best first: for a resource of which only the handler knows whether it can
            really be given as chosen.
    """

    media_type: str
    multipart: bool = False
    transfer_syntax: str | None = None
    others: tuple[Choice, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type with its parameters.

    Attributes:
        media_type: `type/subtype`, lower case.
        parameters: values by lower-case name, without their quotes and in the client's case.
    """

    media_type: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Range:
    """One element of an Accept list.

    Attributes:
        payload: media type of the payload, or a range such as `*/*`.
        multipart: the framing that is asked for; None when both will do.
        transfer_syntax: what the element names, None for nothing.
        weight: its `q`, 0 to 1.
    """

    payload: str
    multipart: bool | None
    transfer_syntax: str | None
    weight: float

    @property
    def breadth(self) -> int:
        """0 for an exact media type, more for wider ranges; `type="*/*"` is narrower than `*/*`."""
        if not self.payload.endswith("/*"):
            return 0
        return 1 + (self.payload == _ANY) + (self.multipart is None)


def parse_content_type(text: str | None) -> ContentType:
    """Read a Content-Type (RFC 9110 §8.3.1); values may lack quotes that the grammar asks for.

    Raises:
        UnsupportedMediaType: when there is none, or it is malformed.
    """
    if text is None or not text.strip(_OWS):
        raise UnsupportedMediaType("The request has no Content-Type.")
    content_type, fault = _read(text)
    if fault:
        raise UnsupportedMediaType(f"The Content-Type is malformed: {fault}.")
    return content_type


def choose(offers: Sequence[Offer], accept_header: str | None, accept_query: str | None) -> Choice:
    """Negotiate the representation (PS3.18 §8.7.8, contract C1.6 and C3.1).

    The query wins; the header is asked when nothing in the query is on offer, as the standard has it.

    Args:
        offers: what the resource can be given in, preferred first.
        accept_header: all lines of `Accept`, joined with commas.
        accept_query: the `accept` parameter, percent-decoded, repeats joined with commas.

    Raises:
        NotAcceptable: naming what is on offer.
    """
    queried = _ranges(accept_query)
    # A client that says nothing takes anything. The original answers 406 here; this is a superset on purpose.
    accepted = _ranges(accept_header) or ([] if queried else [_Range(_ANY, None, None, 1.0)])
    choices = [*_ranked(offers, queried), *_ranked(offers, accepted)]
    if not choices:
        raise NotAcceptable(f"Nothing the request accepts can be given here. On offer: {_listed(offers)}.")
    best, *others = dict.fromkeys(choices)
    return replace(best, others=tuple(others))


def _ranked(offers: Sequence[Offer], ranges: Sequence[_Range]) -> list[Choice]:
    """Choices in the order of the ranges' weights; one that asks `*` comes before others of the greatest weight.

    Every element is read on its own. The original lets a leading `multipart/related` turn the elements after it into
    multipart as well, to cope with missing quotes; here quotes do not matter, and `application/dicom` stays single.
    """
    refused = [one for one in ranges if not one.weight]
    found = [
        (wanted, choice)
        for wanted in sorted(ranges, key=lambda one: -one.weight)
        if wanted.weight and (choice := _choice_for(wanted, offers, refused))
    ]
    if not found:
        return []
    top, best = found[0]
    if best.transfer_syntax not in (None, AS_STORED):
        as_stored = (
            choice
            for wanted, choice in found
            if wanted.weight == top.weight and wanted.transfer_syntax == choice.transfer_syntax == AS_STORED
        )
        best = next(as_stored, best)
    return [best, *(choice for _, choice in found)]


def _choice_for(wanted: _Range, offers: Sequence[Offer], refused: Sequence[_Range]) -> Choice | None:
    for offer in sorted(offers, key=lambda one: one.media_type != wanted.payload):
        choice = _match(wanted, offer)
        if choice is not None and not any(_refuses(no, wanted, offer, choice) for no in refused):
            return choice
    return None


def _match(wanted: _Range, offer: Offer) -> Choice | None:
    if wanted.multipart not in (None, offer.multipart) or not _covers(wanted, offer):
        return None
    if not offer.transfer_syntaxes:
        return Choice(offer.media_type, offer.multipart)
    syntax = wanted.transfer_syntax
    if syntax is None:
        syntax = (offer.wildcard_syntax if wanted.breadth else None) or offer.default_syntax
    elif syntax not in offer.transfer_syntaxes:
        return None
    return Choice(offer.media_type, offer.multipart, syntax)


def _covers(wanted: _Range, offer: Offer) -> bool:
    """Whether the media types agree, whatever the framing and the transfer syntax."""
    if wanted.breadth:
        return offer.wildcard and _in_range(wanted.payload, offer.media_type)
    return wanted.payload == offer.media_type or {wanted.payload, offer.media_type} <= _JSON


def _in_range(payload: str, media_type: str) -> bool:
    return payload == _ANY or media_type.startswith(payload.removesuffix("*"))


def _refuses(no: _Range, wanted: _Range, offer: Offer, choice: Choice) -> bool:
    """Whether `q=0` takes a choice away; only an element at least as narrow can (RFC 9110 §12.5.1)."""
    if no.breadth > wanted.breadth or no.multipart not in (None, offer.multipart):
        return False
    if no.transfer_syntax not in (None, choice.transfer_syntax):
        return False
    return _in_range(no.payload, offer.media_type) if no.breadth else no.payload == offer.media_type


def _listed(offers: Sequence[Offer]) -> str:
    """What is on offer, in words; a media type that comes alone and as parts is named once."""
    forms: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for offer in offers:
        form = f'multipart/related; type="{offer.media_type}"' if offer.multipart else offer.media_type
        forms.setdefault((offer.media_type, offer.transfer_syntaxes), []).append(form)
    return "; or ".join(
        " or ".join(written) + (f" (transfer-syntax {' or '.join(syntaxes)})" if syntaxes else "")
        for (_, syntaxes), written in forms.items()
    )


def _ranges(text: str | None) -> list[_Range]:
    """The elements of an Accept list in their order; empty ones are left out, broken ones match nothing."""
    elements = (element.strip(_OWS) for element in _split(text or "", ","))
    return [_range(element) for element in islice(filter(None, elements), _MAX_RANGES)]


def _range(element: str) -> _Range:
    content_type, _ = _read(element)
    parameters = content_type.parameters
    weight_text = parameters.get("q", "")
    weight = float(weight_text) if _WEIGHT.fullmatch(weight_text) else 1.0
    payload, multipart = _mended(content_type.media_type), None if content_type.media_type.endswith("*") else False
    syntax = parameters.get("transfer-syntax")
    if payload in ("multipart/related", "multipart/*"):
        inner, _ = _read(parameters.get("type") or _ANY)
        payload, multipart = _mended(inner.media_type), True
        syntax = syntax or inner.parameters.get("transfer-syntax")
    return _Range(payload, multipart, syntax or None, weight)


def _mended(media_type: str) -> str:
    """Undo what happens to media types on the way: `+` read as a space in a query; `*` is old for `*/*`."""
    return _ANY if media_type == "*" else media_type.replace(" ", "+")


def _read(text: str) -> tuple[ContentType, str | None]:
    """A media type with all parameters that can be made out, and the first fault found in it."""
    media_type, *pieces = (piece.strip(_OWS) for piece in _split(text, ";"))
    faults = [] if _MEDIA_TYPE.fullmatch(media_type) else ["it does not begin with type/subtype"]
    parameters: dict[str, str] = {}
    for name, value, fault in _parameters(pieces):
        if fault:
            faults.append(fault)
        if name and parameters.setdefault(name, value) != value:
            faults.append("a parameter is given twice")
    return ContentType(media_type.lower(), parameters), faults[0] if faults else None


def _parameters(pieces: Iterable[str]) -> Iterator[tuple[str, str, str | None]]:
    for piece in filter(None, pieces):  # RFC 9110 §5.6.6 allows nothing between two semicolons
        name, equals, value = (part.strip(_OWS) for part in piece.partition("="))
        if not equals or not _TOKEN.fullmatch(name):
            yield "", "", "a parameter is not name=value"
        elif quoted := _QUOTED.fullmatch(value):
            yield name.lower(), _ESCAPE.sub(r"\1", quoted[1]), None
        else:
            fault = None if _BARE_VALUE.fullmatch(value) else "a parameter's value is not quoted as it must be"
            yield name.lower(), value.strip('"'), fault


def _split(text: str, separator: str) -> Iterator[str]:
    """The pieces between separators that stand outside quotes."""
    start = 0
    for piece in _PIECE.finditer(text):
        if piece[0] == separator:
            yield text[start : piece.start()]
            start = piece.end()
    yield text[start:]
