"""Work while a lease is renewed: what ends it, and what does not."""

import asyncio
from datetime import timedelta

import pytest

from shared.errors import StoreUnavailable, Superseded
from shared.storage.leases import work_while_held

_LEASE = timedelta(milliseconds=30)


async def test_a_lease_is_renewed_before_it_runs_out_as_long_as_the_work_takes():
    renewals = 0
    enough = asyncio.Event()

    async def renew():
        nonlocal renewals
        renewals += 1
        if renewals == 3:
            enough.set()

    async def work():
        await enough.wait()
        return "done"

    assert await work_while_held("it", _LEASE, work(), renew) == "done"
    assert renewals == 3


async def test_work_whose_lease_is_lost_is_cut_off():
    cut_off = False

    async def renew():
        raise Superseded("Another one has it.")

    async def work():
        nonlocal cut_off
        try:
            await asyncio.Event().wait()
        finally:
            cut_off = True

    with pytest.raises(Superseded):
        await work_while_held("it", _LEASE, work(), renew)
    assert cut_off


async def test_a_renewal_that_has_begun_is_finished_though_the_work_is_over():
    begun = asyncio.Event()
    finished = False

    async def renew():
        nonlocal finished
        begun.set()
        await asyncio.sleep(0.02)
        finished = True

    assert await work_while_held("it", _LEASE, begun.wait(), renew) is True
    assert finished


async def test_storage_that_is_away_for_a_renewal_does_not_end_the_work(caplog):
    tries = 0
    back = asyncio.Event()

    async def renew():
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreUnavailable
        back.set()

    assert await work_while_held("file 1", _LEASE, back.wait(), renew) is True
    assert "file 1 is held no longer than before" in caplog.text


async def test_the_error_of_the_work_is_the_error_of_all():
    async def work():
        raise LookupError

    with pytest.raises(LookupError):
        await work_while_held("it", _LEASE, work(), asyncio.Event().wait)


async def test_who_is_cancelled_takes_the_work_along():
    begun, cut_off = asyncio.Event(), asyncio.Event()

    async def work():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut_off.set()

    async def renew():
        """It stays with us."""

    holding = asyncio.create_task(work_while_held("it", _LEASE, work(), renew))
    await begun.wait()
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert cut_off.is_set()
