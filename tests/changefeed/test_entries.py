"""What an entry says of its event and of the instance now, without storage."""

from __future__ import annotations

import pytest

from shared.changefeed.entries import Present, State, state_of, timestamp
from shared.storage.feed import Action, Event, time_text
from shared.storage.feed_reader import Change


def change(action: Action = Action.CREATE, version: int = 7) -> Change:
    return Change(1, time_text(0), Event("e", action, "Microsoft.Default", "1.2", "1.3", "1.4", version))


@pytest.mark.parametrize(
    ("action", "stored_version", "state"),
    [
        (Action.CREATE, 7, State.CURRENT),
        (Action.CREATE, 8, State.REPLACED),
        (Action.CREATE, None, State.DELETED),
        (Action.UPDATE, 7, State.CURRENT),
        (Action.UPDATE, 8, State.REPLACED),
        (Action.UPDATE, None, State.DELETED),
        (Action.DELETE, None, State.DELETED),
        (Action.DELETE, 8, State.REPLACED),
        (Action.DELETE, 7, State.REPLACED),
    ],
)
def test_the_state_follows_from_the_version_that_is_stored_now(action, stored_version, state):
    """Contract C8.3."""
    present = None if stored_version is None else Present(stored_version)
    assert state_of(change(action), present) is state


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        ("2026-11-21T08:30:00.1234567+00:00", "2026-11-21T08:30:00.1234567+00:00"),
        ("2026-11-21T08:30:00.1234500+00:00", "2026-11-21T08:30:00.12345+00:00"),
        ("2026-11-21T08:30:00.1000000+00:00", "2026-11-21T08:30:00.1+00:00"),
        ("2026-11-21T08:30:00.0000001+00:00", "2026-11-21T08:30:00.0000001+00:00"),
        ("2026-11-21T08:30:00.0000000+00:00", "2026-11-21T08:30:00+00:00"),
        ("2026-11-21T08:30:10.0000000+00:00", "2026-11-21T08:30:10+00:00"),
    ],
)
def test_zeros_at_the_end_of_the_fraction_are_dropped(time, shown):
    """Contract C1.5."""
    assert timestamp(time) == shown
