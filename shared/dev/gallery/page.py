"""The page of the gallery: one HTML file that asks nobody for anything but the pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

_STYLE = """
:root { color-scheme: dark; --paper: #14171c; --card: #1d2128; --line: #323843; --text: #dfe4ea; --quiet: #97a1af;
  --good: #5fb98a; --bad: #e2705e; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 2rem 1.5rem 4rem; background: var(--paper); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 2.5rem 0 .75rem; padding-bottom: .35rem; border-bottom: 1px solid var(--line); }
h2 small, .quiet { color: var(--quiet); font-weight: normal; }
table { border-collapse: collapse; margin-top: 1.5rem; font-size: .82rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: center; }
th:first-child { text-align: left; font-weight: normal; }
td a { color: var(--good); text-decoration: none; }
td a.failed { color: var(--bad); }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
figure:target { outline: 2px solid var(--good); }
figure.failed { border-color: var(--bad); }
.frame { height: 17rem; background: #000; display: flex; align-items: center; justify-content: center; }
.frame img { max-width: 100%; max-height: 100%; min-height: 45%; object-fit: contain; image-rendering: auto; }
.frame p { color: var(--bad); padding: 1rem; }
figcaption { padding: .75rem .9rem .9rem; font-size: .85rem; }
figcaption strong { display: block; font-size: .95rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .75rem; margin: .4rem 0 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True, slots=True)
class Card:
    """A picture and what is said below it.

    Attributes:
        syntax: name of the transfer syntax.
        uid: of the transfer syntax.
        photometric: PhotometricInterpretation.
        file: its name.
        made: whether it was made for the gallery.
        size: of a frame, and how many there are.
        bits: BitsStored, BitsAllocated and the sign.
        shades: what the shades come from.
        decode_milliseconds: of the frame.
        render_milliseconds: of the frame, decoding included.
        picture: name of its file beside the page; empty when it failed.
        failure: why there is no picture; empty when there is one.
    """

    syntax: str
    uid: str
    photometric: str
    file: str
    made: bool
    size: str
    bits: str
    shades: str
    decode_milliseconds: float
    render_milliseconds: float
    picture: str
    failure: str

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return f"{self.uid}-{self.photometric.replace(' ', '-').lower()}"


def page(cards: Sequence[Card]) -> str:
    """The page; cards of one transfer syntax have to follow each other."""
    sections = "".join(_section(list(group)) for _, group in groupby(cards, key=lambda card: card.uid))
    failed = sum(1 for card in cards if card.failure)
    made = sum(1 for card in cards if card.made)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Rendered frames</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        "<h1>Rendered frames</h1>\n"
        f'<p class="quiet">{len(cards)} pictures, each the first frame of a file as the service renders it. '
        f"{made} of the files are made, because there is no real one; {failed} failed.</p>\n"
        f"{_overview(cards)}{sections}</body>\n</html>\n"
    )


def _overview(cards: Sequence[Card]) -> str:
    columns = sorted({card.photometric for card in cards})
    rows = []
    for _, group in groupby(cards, key=lambda card: card.uid):
        line = {card.photometric: card for card in group}
        name = next(iter(line.values())).syntax
        cells = "".join(f"<td>{_mark(line.get(column))}</td>" for column in columns)
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>\n")
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return f"<table>\n<tr><th>Transfer syntax</th>{head}</tr>\n{''.join(rows)}</table>\n"


def _mark(card: Card | None) -> str:
    if card is None:
        return ""
    kind, mark = (' class="failed"', "failed") if card.failure else ("", "made" if card.made else "real")
    return f'<a href="#{escape(card.anchor)}"{kind}>{mark}</a>'


def _section(cards: Sequence[Card]) -> str:
    first = cards[0]
    title = f"<h2>{escape(first.syntax)} <small>{escape(first.uid)}</small></h2>\n"
    return f'{title}<div class="cards">\n{"".join(_figure(card) for card in cards)}</div>\n'


def _figure(card: Card) -> str:
    if card.failure:
        view = f"<p>{escape(card.failure)}</p>"
    else:
        view = f'<img src="{escape(card.picture)}" alt="{escape(card.file)}" loading="lazy">'
    times = f"{card.decode_milliseconds:.1f} ms; rendered {card.render_milliseconds:.1f} ms"
    facts = (
        ("file", card.file),
        ("pixels", card.size),
        ("stored", card.bits),
        ("shades", card.shades),
        ("decoded", "no" if card.failure else times),
    )
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        f'<figure id="{escape(card.anchor)}"{" class=failed" if card.failure else ""}>\n'
        f'<div class="frame">{view}</div>\n'
        f"<figcaption><strong>{escape(card.photometric)}</strong><dl>{rows}</dl></figcaption>\n</figure>\n"
    )
