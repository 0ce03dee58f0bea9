from __future__ import annotations

import inspect

import pytest

from shared import errors
from shared.api import problems

STATUSES = {
    errors.InvalidRequest("x"): 400,
    errors.InvalidParameter("limit", "is wrong"): 400,
    errors.MalformedBody("x"): 400,
    errors.ClientGone("x"): 400,
    errors.NotFound("x"): 404,
    errors.NotAcceptable("x"): 406,
    errors.OperationRunning("0" * 32): 409,
    errors.Superseded("x"): 409,
    errors.PayloadTooLarge(5): 413,
    errors.UnsupportedMediaType("x"): 415,
    errors.StoreUnavailable(7): 503,
}


@pytest.mark.parametrize("error", STATUSES, ids=lambda error: type(error).__name__)
def test_a_meaning_has_its_status_and_says_its_own_text(error):
    reply = problems.reply(error)
    assert (reply.status, reply.body, reply.media_type) == (STATUSES[error], str(error).encode(), problems.TEXT)


def test_every_meaning_of_the_house_has_a_status():
    meanings = [
        one
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, errors.DicomWebError) and one is not errors.DicomWebError
    ]
    assert meanings
    assert [one.__name__ for one in meanings if problems.status_of(one) == 500] == []


@pytest.mark.parametrize("error", [ValueError("Doe^John"), KeyError("Doe^John"), errors.DicomWebError("Doe^John")])
def test_anything_else_is_an_opaque_500(error):
    reply = problems.reply(error)
    assert (reply.status, reply.body) == (500, problems.INTERNAL.encode())


def test_unavailable_storage_says_when_to_come_back():
    assert problems.reply(errors.StoreUnavailable(7)).headers == (("Retry-After", "7"),)
