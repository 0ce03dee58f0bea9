"""The arithmetic: counts times prices. Nothing here is measured, and of Azure only prices are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.dev.costs.counts import Counted, Counts
from shared.dev.costs.prices import Prices

MILLION = 1_000_000
DAYS = 30
_GIB, _KIB = 2**30, 2**10
TIB_GB = 1024
_LOG_GB = 10**9
# Flex Consumption bills an instance that is busy for no less than this.
LEAST_SECONDS = 1.0
BATCH = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What is planned for.

    Attributes:
        studies_per_day: that are stored.
        instances_per_study: in one series, stored 20 in a request.
        instance_kilobytes: of a file, in 1,024 bytes.
        months_kept: after which a study is deleted.
        retrievals_per_study: how often each study is retrieved in all, 20 instances in a request.
        searches_per_study: searches, and as many times its metadata.
        request_seconds: that a request takes.
        at_once: requests on an instance at the same time, on average.
        memory_gb: of an instance.
        front_door: whether clients come by Front Door.
        private_endpoints: how many there are.
        always_ready: instances that wait.
    """

    studies_per_day: float = 100
    instances_per_study: float = 200
    instance_kilobytes: float = 512
    months_kept: float = 12
    retrievals_per_study: float = 2
    searches_per_study: float = 5
    request_seconds: float = 0.2
    at_once: float = 1
    memory_gb: float = 2
    front_door: bool = False
    private_endpoints: int = 0
    always_ready: int = 0

    @property
    def instance_gb(self) -> float:
        """A file."""
        return self.instance_kilobytes * _KIB / _GIB

    @property
    def busy_seconds(self) -> float:
        """For which an instance is paid because of one request."""
        return max(self.request_seconds, LEAST_SECONDS) / self.at_once


@dataclass(frozen=True, slots=True)
class Cost:
    """What something costs, by what is paid.

    Attributes:
        storage: calls to storage.
        executions: of functions.
        instances: their time.
        log: what is written there.
    """

    storage: float = 0.0
    executions: float = 0.0
    instances: float = 0.0
    log: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.storage + self.executions + self.instances + self.log


def requests(counted: Counted, number: float, plan: Plan, prices: Prices) -> Cost:
    """What a number of requests of a kind costs, without what they send and keep."""
    return Cost(
        prices.of("blob_writes", number * counted.blobs_written)
        + prices.of("blob_reads", number * counted.blobs_read)
        + prices.of("table_calls", number * (counted.tables + counted.queues)),
        prices.of("executions", number),
        prices.of("gb_seconds", number * plan.busy_seconds * plan.memory_gb),
        prices.of("log_gb", number * counted.log_bytes / _LOG_GB),
    )


def kept(gb: float, counts: Counts, plan: Plan, prices: Prices) -> tuple[float, float]:
    """What files of so many GB cost in a month: themselves, and their rows."""
    rows_gb = gb / plan.instance_gb * counts.row_bytes / _GIB
    return prices.of("blob_gb_months", gb), prices.of("table_gb_months", rows_gb)


def out(gb: float, plan: Plan, prices: Prices) -> float:
    """What it costs to send so many GB to clients outside of Azure."""
    return prices.of("front_door_gb" if plan.front_door else "internet_gb", gb)


def idle(counts: Counts, plan: Plan, prices: Prices) -> Cost:
    """The timers of a month in which nobody calls. Each is alone on its instance."""
    alone = Plan(memory_gb=plan.memory_gb, request_seconds=LEAST_SECONDS)
    each = [requests(timer.each, timer.runs_a_month, alone, prices) for timer in counts.timers.values()]
    return Cost(*(sum(getattr(one, name) for one in each) for name in Cost.__dataclass_fields__))


def standing(plan: Plan, prices: Prices) -> float:
    """What is paid by the month, whoever calls."""
    hours = DAYS * 24
    waiting = plan.always_ready * plan.memory_gb * hours * 3600
    return (
        prices.of("front_door_months", 1 if plan.front_door else 0)
        + prices.of("private_endpoint_hours", plan.private_endpoints * hours)
        + prices.of("always_ready_gb_seconds", waiting)
    )


def month(counts: Counts, plan: Plan, prices: Prices) -> Mapping[str, float]:
    """A month of a plan once the first studies are deleted, by what it is paid for."""
    studies = plan.studies_per_day * DAYS
    batches = plan.instances_per_study / BATCH

    def asked(name: str, number: float) -> Cost:
        return requests(counts.of(name), number, plan, prices)

    parts = {
        "storing": asked(f"store {BATCH} instances, new study", studies * batches),
        "searching": asked("search studies by PatientID", studies * plan.searches_per_study),
        "metadata": asked("metadata of a series, asked before", studies * plan.searches_per_study),
        "retrieving": asked(f"retrieve a series of {BATCH}", studies * plan.retrievals_per_study * batches),
        "deleting": asked(f"delete a study of {BATCH}", studies * batches),
    }
    made_gb = studies * plan.instances_per_study * plan.instance_gb
    blobs, rows = kept(made_gb * plan.months_kept, counts, plan, prices)
    number = studies * (2 * batches + plan.retrievals_per_study * batches + 2 * plan.searches_per_study)
    through = prices.of("front_door_requests", number) if plan.front_door else 0.0
    return {
        **{name: cost.total for name, cost in parts.items()},
        "sending what is retrieved": out(made_gb * plan.retrievals_per_study, plan, prices),
        "keeping files": blobs,
        "keeping their rows": rows,
        "timers": idle(counts, plan, prices).total,
        "by the month, and requests through Front Door": standing(plan, prices) + through,
    }
