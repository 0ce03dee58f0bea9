"""Prices, as `infra/prices.yaml` has them: whoever pays puts their own there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import yaml

from shared.dev.repository import ROOT

PRICES = ROOT / "infra" / "prices.yaml"
NAMES = frozenset(
    [
        "always_ready_gb_seconds",
        "blob_gb_months",
        "blob_reads",
        "blob_writes",
        "executions",
        "front_door_gb",
        "front_door_months",
        "front_door_requests",
        "gb_seconds",
        "internet_gb",
        "log_gb",
        "private_endpoint_hours",
        "table_calls",
        "table_gb_months",
    ]
)


class PricesError(Exception):
    """The file cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Price:
    """One price.

    Attributes:
        price: of as many as `per` says.
        per: how many.
        unit: of what.
        noted: the day on which it was written down.
        confirmed: whether somebody saw it on the page that it is from.
        seen: where it was read.
        page: where the price is published.
    """

    price: float
    per: float
    unit: str
    noted: date
    confirmed: bool
    seen: str
    page: str


@dataclass(frozen=True, slots=True)
class Prices:
    """All prices of a region.

    Attributes:
        region: of Azure.
        currency: three letters.
        by_name: every one of `NAMES`.
    """

    region: str
    currency: str
    by_name: Mapping[str, Price]

    def of(self, name: str, amount: float) -> float:
        """What an amount costs."""
        price = self.by_name[name]
        return amount / price.per * price.price


def read(path: Path = PRICES) -> Prices:
    """The prices of a file.

    Raises:
        PricesError: a price is missing, unknown, or has another form.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        by_name = {str(name): Price(**each) for name, each in found["prices"].items()}
        prices = Prices(str(found["region"]), str(found["currency"]), by_name)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise PricesError(f"{path.name} has no region, currency and prices, or a price lacks something") from error
    for name in sorted(by_name.keys() ^ NAMES):
        raise PricesError(f"{path.name}: {name} is {'missing' if name in NAMES else 'no price that is used'}")
    for name, each in by_name.items():
        noted: object = each.noted  # whatever the file has
        confirmed: object = each.confirmed
        if not (_number(each.price) and each.price >= 0 and _number(each.per) and each.per > 0):
            raise PricesError(f"{path.name}: {name} needs a price of 0 or more, per something above 0")
        if not isinstance(noted, date) or not isinstance(confirmed, bool):
            raise PricesError(f"{path.name}: {name} needs the day on which it was noted, and whether it is confirmed")
    return prices


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value < float("inf")
