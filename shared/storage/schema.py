"""Whether this code can read a record: every record carries the number of the form that it is written in."""

from __future__ import annotations

import logging

from shared.errors import UnknownSchema
from shared.storage.keys import SCHEMA

LOG = logging.getLogger(__name__)

NAME = "schema"
"""Of the property, and of the blob metadata, with the number."""

READ = (SCHEMA - 1, SCHEMA)
"""What this code reads. A store may hold both while a new release takes the place of the one before."""

_UNNUMBERED = 1  # the first form had no number in marks, which hold nothing else, and in blobs


def expect_readable(number: object, *place: object) -> None:
    """Return when a record is of a form that this code reads.

    Args:
        number: the record's own; None when it has none.
        place: table and keys, or name of the blob; for the log.

    Raises:
        UnknownSchema: it is of a later form, or of one that is too old.
    """
    known = _UNNUMBERED if number is None else number
    if known not in READ:
        what = " ".join(map(str, place))
        LOG.error("record %s has schema %s; this release reads %s", what, known, " and ".join(map(str, READ)))
        raise UnknownSchema
