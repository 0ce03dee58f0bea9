"""NCRONTAB schedules of timer triggers: six fields (seconds first) or five, in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

# (name, lowest, highest, names of values) per field
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 6, _DAYS),
)

# Long enough for 29 February on a given weekday.
_HORIZON_DAYS = 366 * 29


class ScheduleError(ValueError):
    """A schedule that the host would refuse; the text says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The values each field allows; weekdays count from Sunday = 0. All fields must agree, day and weekday included."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def after(self, moment: datetime) -> datetime:
        """The first time that is later than `moment`.

        Raises:
            ScheduleError: there is none, as for 30 February.
        """
        start = moment.replace(microsecond=0) + timedelta(seconds=1)
        midnight = start.replace(hour=0, minute=0, second=0)
        for offset in range(_HORIZON_DAYS):
            day = midnight + timedelta(days=offset)
            if day.day in self.days and day.month in self.months and day.isoweekday() % 7 in self.weekdays:
                found = self._on(day, start)
                if found:
                    return found
        raise ScheduleError("the schedule never comes due")

    def _on(self, day: datetime, start: datetime) -> datetime | None:
        for hour in self.hours:
            if day.replace(hour=hour, minute=59, second=59) < start:
                continue
            for minute in self.minutes:
                if day.replace(hour=hour, minute=minute, second=59) < start:
                    continue
                for second in self.seconds:
                    candidate = day.replace(hour=hour, minute=minute, second=second)
                    if candidate >= start:
                        return candidate
        return None


def parse(text: str) -> Schedule:
    """Read a schedule.

    Raises:
        ScheduleError: it is not one.
    """
    pieces = text.split()
    if len(pieces) == 5:
        pieces.insert(0, "0")
    if len(pieces) != 6:
        raise ScheduleError(f"schedule {text!r} must have six fields, seconds first")
    values = [_field(piece, *field) for piece, field in zip(pieces, _FIELDS, strict=True)]
    return Schedule(
        tuple(sorted(values[0])),
        tuple(sorted(values[1])),
        tuple(sorted(values[2])),
        frozenset(values[3]),
        frozenset(values[4]),
        frozenset(values[5]),
    )


def _field(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, _, step_text = item.partition("/")
        step = _number(step_text, name, 1, high - low + 1, ()) if "/" in item else 1
        if span == "*":
            first, last = low, high
        elif "-" in span:
            left, _, right = span.partition("-")
            first, last = _number(left, name, low, high, names), _number(right, name, low, high, names)
        else:
            first = _number(span, name, low, high, names)
            # A single value with a step runs on to the end of the field.
            last = high if "/" in item else first
        if first > last:
            raise ScheduleError(f"{name}: {item!r} runs backwards")
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, name: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text.upper() in names:
        return names.index(text.upper()) + low
    if not (text.isascii() and text.isdecimal()) or not low <= int(text) <= high:
        raise ScheduleError(f"{name}: {text!r} is not between {low} and {high}")
    return int(text)
