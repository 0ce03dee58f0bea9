"""Costs as Markdown, for a terminal and for infra/README.md."""

from __future__ import annotations

from collections.abc import Sequence

from shared.dev.costs import sums
from shared.dev.costs.counts import Counted, Counts
from shared.dev.costs.prices import Prices
from shared.dev.costs.sums import BATCH, MILLION, TIB_GB, Cost, Plan
from shared.dev.repository import ROOT

DOCUMENT = ROOT / "infra" / "README.md"
BEGIN, END = "<!-- costs -->", "<!-- end of costs -->"


class ReportError(Exception):
    """The document has no place for the tables."""


def report(counts: Counts, plan: Plan, prices: Prices) -> str:
    """All tables."""
    return "\n\n".join(
        [
            _introduction(plan, prices),
            f"**1 million requests of a kind**, in {prices.currency}:",
            _requests(counts, plan, prices),
            f"**1 TB** (2⁴⁰ bytes) in files of {_amount(plan.instance_kilobytes)} KB, in {prices.currency}:",
            _terabyte(counts, plan, prices),
            f"**A month in which nobody calls**, in {prices.currency}:",
            _idle(counts, plan, prices),
            _example(plan, prices),
            _month(counts, plan, prices),
        ]
    )


def in_document(document: str, text: str) -> str:
    """The document with other tables.

    Raises:
        ReportError: it has no lines that say where they are.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ReportError(f"{DOCUMENT.name} has no lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def _introduction(plan: Plan, prices: Prices) -> str:
    noted = max(each.noted for each in prices.by_name.values())
    open_prices = sum(not each.confirmed for each in prices.by_name.values())
    told = f"{open_prices} of {len(prices.by_name)} prices are **not confirmed**; " if open_prices else ""
    alone = "one request at a time" if plan.at_once == 1 else f"{_amount(plan.at_once)} requests at once"
    return (
        f"Prices of {prices.region}, noted on {noted}: {told}see `prices.yaml`. "
        f"Instances of {_amount(plan.memory_gb)} GB, {alone} on each, {_amount(plan.request_seconds)} s a request."
    )


def _requests(counts: Counts, plan: Plan, prices: Prices) -> str:
    heads = ("request", "blob writes", "blob reads", "calls to tables", "bytes of log")
    paid = ("storage", "executions", "instances", "log", "all")
    rows = [
        [name, *_counted(each), *_paid(sums.requests(each, MILLION, plan, prices))]
        for name, each in counts.requests.items()
    ]
    return _table([*heads, *paid], rows)


def _counted(counted: Counted) -> list[str]:
    return [f"{each:,}" for each in (counted.blobs_written, counted.blobs_read, counted.tables, counted.log_bytes)]


def _paid(cost: Cost) -> list[str]:
    return [_money(each) for each in (cost.storage, cost.executions, cost.instances, cost.log, cost.total)]


def _terabyte(counts: Counts, plan: Plan, prices: Prices) -> str:
    files = TIB_GB / plan.instance_gb
    blobs, rows = sums.kept(TIB_GB, counts, plan, prices)

    def asked(name: str, number: float) -> str:
        return _money(sums.requests(counts.of(name), number, plan, prices).total)

    rows_gb = files * counts.row_bytes / 2**30
    return _table(
        ["what", "how much", "cost"],
        [
            ["kept a month: files", f"{TIB_GB:,} GB", _money(blobs)],
            ["kept a month: their rows", f"{rows_gb:,.1f} GB, {counts.row_bytes:,} bytes an instance", _money(rows)],
            [f"stored, {BATCH} in a request", f"{files / BATCH:,.0f} requests",
             asked(f"store {BATCH} instances, new study", files / BATCH)],
            ["retrieved one by one", f"{files:,.0f} requests", asked("retrieve an instance", files)],
            [f"retrieved, {BATCH} in a request", f"{files / BATCH:,.0f} requests",
             asked(f"retrieve a series of {BATCH}", files / BATCH)],
            ["sent out of Azure, on top", f"{TIB_GB:,} GB", _money(sums.out(TIB_GB, plan, prices))],
            [f"deleted, {BATCH} in a request", f"{files / BATCH:,.0f} requests",
             asked(f"delete a study of {BATCH}", files / BATCH)],
        ],
    )  # fmt: skip


def _idle(counts: Counts, plan: Plan, prices: Prices) -> str:
    rows = [
        [name, f"{timer.runs_a_month:,}", *_counted(timer.each)[:3], f"{timer.each.queues:,}"]
        for name, timer in counts.timers.items()
    ]
    cost = sums.idle(counts, plan, prices)
    told = f"Storage {_money(cost.storage)}, executions {_money(cost.executions)}, instances {_money(cost.instances)}"
    told += f": {_money(cost.total)}. Each run is alone on its instance and paid for a second."
    heads = ["timer", "runs", "blob writes or lists", "blob reads", "calls to tables", "calls to queues"]
    return f"{_table(heads, rows)}\n\n{told}"


def _example(plan: Plan, prices: Prices) -> str:
    return (
        f"**A month of a small hospital**, in {prices.currency}: {_amount(plan.studies_per_day)} studies a day of "
        f"{_amount(plan.instances_per_study)} instances of {_amount(plan.instance_kilobytes)} KB, kept for "
        f"{_amount(plan.months_kept)} months; each is retrieved {_amount(plan.retrievals_per_study)} times by clients "
        f"outside of Azure, after {_amount(plan.searches_per_study)} searches with metadata. In this month as much is "
        "deleted as is stored:"
    )


def _month(counts: Counts, plan: Plan, prices: Prices) -> str:
    parts = sums.month(counts, plan, prices)
    rows = [[name, _money(each)] for name, each in parts.items()]
    return _table(["for", "cost"], [*rows, ["all", _money(sum(parts.values()))]])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, first, *rows))


def _money(amount: float) -> str:
    return f"{amount:,.2f}"


def _amount(number: float) -> str:
    return f"{number:,.10g}"
