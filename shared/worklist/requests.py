"""What requests about workitems carry beside their paths: a data set, and a UID as a bare key of the query."""

from __future__ import annotations

from collections.abc import Sequence

from shared.dicom.uids import normalise_uid
from shared.errors import InvalidParameter
from shared.wire.call import Call
from shared.wire.datasets import first_dataset, whole_body
from shared.wire.dicomjson import Json

MOST_BYTES = 1024 * 1024
"""Of a body. A workitem that refers to 5,000 instances is about as long."""


async def read_dataset(call: Call) -> Json:
    """The data set in a body.

    Raises:
        PayloadTooLarge: it is longer than a workitem can be.
        InvalidRequest: it is no data set in the DICOM JSON model.
    """
    return first_dataset(await whole_body(call.body, MOST_BYTES))


def bare_uid(call: Call, name: str) -> str:
    """The UID that is the name of the first key of a query, or the value of the key called `name`; empty for none.

    Raises:
        InvalidParameter: the first key is neither.
    """
    keys: Sequence[tuple[str, str]] = call.parameters["matching_keys"]
    if not keys:
        return ""
    key, value = keys[0]
    uid = normalise_uid(value if key.lower() == name else key)
    if uid is None:
        raise InvalidParameter(name, "must be a UID: 1 to 64 digits and dots that end with a digit (PS3.5 §9.1)")
    return uid
