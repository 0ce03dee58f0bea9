"""Hooks for schemathesis: bodies that are no JSON, and parameters of what is stored, so that calls get past 404.

Loaded by `schemathesis run` through the variable SCHEMATHESIS_HOOKS; see tests/served/test_schemathesis.py.
"""

from __future__ import annotations

import random
from typing import Any

import httpx
import schemathesis

from tests.support.files import synthetic_instance

STUDY = "2.25.900"
SERIES = f"{STUDY}.1"
INSTANCE = f"{SERIES}.1"
STORED = {
    "studyInstanceUid": STUDY,
    "seriesInstanceUid": SERIES,
    "sopInstanceUid": INSTANCE,
    "partitionName": "Microsoft.Default",
    "frames": "1",
    "frame": 1,
    "tagPath": "00200013",
}
_OFTEN = 0.7
# The web server refuses longer request lines with a 414 of its own, before any function is asked.
_LONGEST_VALUE = 1000
_BOUNDARY = "fuzzed"


def file() -> bytes:
    """The instance that the parameters speak of."""
    return synthetic_instance(study_uid=STUDY, series_uid=SERIES, sop_instance_uid=INSTANCE)


def store(url: str) -> None:
    """Store it.

    Args:
        url: of the studies of a version, and of a data partition where those are in use.
    """
    headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
    answer = httpx.post(url, content=file(), headers=headers, timeout=30, trust_env=False)
    assert answer.status_code in (200, 409), answer.text


def _dicom(made: Any) -> bytes:
    """Often a file; else what was made up."""
    choices = [file, synthetic_instance, lambda: file()[:300], lambda: made if isinstance(made, bytes) else b"made up"]
    return random.choice(choices)()


def _parts(made: Any) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + _dicom(made) + b"\r\n" for _ in range(random.randint(0, 3))) + f"--{_BOUNDARY}--".encode()


@schemathesis.serializer("application/dicom")
def _as_dicom(_context: Any, value: Any) -> bytes:
    return _dicom(value)


@schemathesis.serializer("multipart/related")
def _as_related(_context: Any, value: Any) -> bytes:
    return _parts(value)


@schemathesis.hook
def map_path_parameters(_context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Often what is stored, sometimes whatever was made up."""
    if not path_parameters:
        return path_parameters
    often = random.random() < _OFTEN
    return {name: STORED[name] if often and name in STORED else value for name, value in path_parameters.items()}


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Shorten what no request line can carry; name the boundary of parts, but for one in five."""
    for name, value in (case.path_parameters or {}).items():
        if len(str(value)) > _LONGEST_VALUE:
            case.path_parameters[name] = STORED.get(name, str(value)[:_LONGEST_VALUE])
    if case.media_type == "multipart/related" and random.random() < 0.8:
        case.headers = {
            **(case.headers or {}),
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
        }


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """What was deleted comes back, for the calls that follow."""
    if case.method == "DELETE" and response.status_code == 204 and "/studies/" in response.request.url:
        store(response.request.url.partition("/studies/")[0] + "/studies")
