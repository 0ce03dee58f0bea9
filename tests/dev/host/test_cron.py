"""Facts of NCRONTAB."""

from datetime import UTC, datetime

import pytest

from shared.dev.host import cron

START = datetime(2026, 11, 21, 22, 10, 30, 500, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * * *", datetime(2026, 11, 21, 22, 10, 31, tzinfo=UTC)),
        ("0 */5 * * * *", datetime(2026, 11, 21, 22, 15, tzinfo=UTC)),
        ("*/5 * * * *", datetime(2026, 11, 21, 22, 15, tzinfo=UTC)),
        ("0 0 3 * * *", datetime(2026, 11, 22, 3, tzinfo=UTC)),
        ("30 10 22 * * *", datetime(2026, 11, 22, 22, 10, 30, tzinfo=UTC)),
        ("31 10 22 * * *", datetime(2026, 11, 21, 22, 10, 31, tzinfo=UTC)),
        ("0 0 0 * * MON-FRI", datetime(2026, 11, 23, tzinfo=UTC)),
        ("0 0 0 * * 0", datetime(2026, 11, 22, tzinfo=UTC)),
        ("0 0 0 1 jan *", datetime(2027, 1, 1, tzinfo=UTC)),
        ("0 0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
        ("15,45 20/10 22 * * *", datetime(2026, 11, 21, 22, 20, 15, tzinfo=UTC)),
        ("0 0 0 13 * FRI", datetime(2027, 8, 13, tzinfo=UTC)),
    ],
)
def test_the_next_time_of_a_schedule(text, expected):
    assert cron.parse(text).after(START) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * * *",
        "* * 24 * * *",
        "* * * 0 * *",
        "* * * * 13 *",
        "* * * * * 7",
        "a * * * * *",
        "*/0 * * * * *",
        "5-1 * * * * *",
        "1, * * * * *",
        "-1 * * * * *",
        "00:05:00",
    ],
)
def test_what_is_no_schedule_is_refused(text):
    with pytest.raises(cron.ScheduleError):
        cron.parse(text)


def test_a_schedule_that_never_comes_due_says_so():
    with pytest.raises(cron.ScheduleError, match="never"):
        cron.parse("0 0 0 30 2 *").after(START)
