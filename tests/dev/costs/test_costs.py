"""What the service costs: counts are what storage is asked for, sums are right, and the README has them."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest
import yaml

from shared.dev.costs import command, counts, prices, report, sums
from shared.dev.costs.counts import Counted, Counts, CountsError, Timer, differences
from shared.dev.costs.measure import OVER_ALL, measured
from shared.dev.costs.prices import NAMES, Price, Prices, PricesError
from shared.dev.costs.sums import Plan
from tests.support.storage import fresh_settings

RECORDED = counts.read()
EVERYTHING = Counted(blobs_written=2, blobs_read=3, blobs_deleted=7, tables=4, queues=1, log_bytes=500)


def priced(**given: tuple[float, float]) -> Prices:
    """Prices by name, as a price and of how many; others are nothing."""
    each = {name: given.get(name, (0.0, 1.0)) for name in NAMES}
    made = {name: Price(price, per, "", date(2026, 11, 22), True, "", "") for name, (price, per) in each.items()}
    return Prices("here", "EUR", made)


# Counts.


@pytest.mark.azurite
async def test_requests_ask_of_storage_what_is_recorded(azurite):
    found = await measured(fresh_settings(azurite.connection_string), studies=0)
    assert RECORDED.requests.keys() - found.requests.keys() == set(OVER_ALL)
    assert RECORDED.timers.keys() == found.timers.keys()
    assert list(differences(RECORDED, found)) == [], "python -m shared.dev.costs record"


@pytest.mark.slow
@pytest.mark.azurite
async def test_searches_in_a_store_in_use_ask_what_is_recorded(azurite):
    found = await measured(fresh_settings(azurite.connection_string))
    assert RECORDED.requests.keys() == found.requests.keys()
    assert list(differences(RECORDED, found)) == []


def test_a_count_that_changes_is_a_difference():
    before = Counts({"ask": Counted(tables=9, log_bytes=1000)}, {"look": Timer(5, Counted(tables=2))}, 1000)
    assert differences(before, Counts({"ask": Counted(tables=9, log_bytes=1050)}, {}, 1050)) == []
    assert differences(before, Counts({"ask": Counted(tables=8, log_bytes=1200)}, {}, 1200)) == [
        "ask: tables 9, now 8",
        "ask: log_bytes 1000, now 1200",
        "row_bytes 1000, now 1200",
    ]
    assert differences(before, Counts({"new": Counted(tables=1)})) == ["new: tables 0, now 1"]
    assert differences(before, Counts({}, {"look": Timer(5, Counted(tables=3))})) == ["look: tables 2, now 3"]
    assert differences(before, Counts({}, {"poll": Timer(5, Counted(queues=1))})) == ["poll: queues 0, now 1"]


def test_counts_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "requests.yaml"
    counts.write(RECORDED, path)
    assert counts.read(path) == RECORDED
    assert path.read_text() == counts.REQUESTS.read_text()


@pytest.mark.parametrize(
    "text", ["", "[]", "requests: {}", "{requests: {a: {bytes: 1}}, timers: {}, row_bytes: 1}", "{"]
)
def test_counts_of_another_form_are_refused(tmp_path, text):
    path = tmp_path / "requests.yaml"
    path.write_text(text)
    with pytest.raises(CountsError, match=r"requests\.yaml is not as"):
        counts.read(path)


# Sums, each beside the arithmetic written out.


def test_requests_cost_what_comes_out_by_hand():
    given = priced(
        blob_writes=(1, 10), blob_reads=(1, 100), table_calls=(1, 1000), executions=(2, 1000), gb_seconds=(0.5, 1),
        log_gb=(4, 1),
    )  # fmt: skip
    cost = sums.requests(EVERYTHING, 1000, Plan(request_seconds=3, at_once=2, memory_gb=2), given)
    assert cost.storage == pytest.approx(2000 / 10 + 3000 / 100 + 5000 / 1000)
    assert cost.executions == pytest.approx(2)
    assert cost.instances == pytest.approx(1000 * (3 / 2) * 2 * 0.5)
    assert cost.log == pytest.approx(1000 * 500 / 1e9 * 4)
    assert cost.total == pytest.approx(235 + 2 + 1500 + 0.002)


def test_an_instance_is_paid_for_a_second_at_least():
    given = priced(gb_seconds=(1, 1))
    assert sums.requests(Counted(), 1, Plan(request_seconds=0.01, memory_gb=2), given).total == pytest.approx(2)
    assert sums.requests(Counted(), 1, Plan(request_seconds=0.01, at_once=4, memory_gb=2), given).total == 0.5


def test_files_and_their_rows_cost_what_comes_out_by_hand():
    """1 GB in files of 1 MB is 1,024 of them, with rows of 1,048,576 bytes each: as much again."""
    given = priced(blob_gb_months=(3, 1), table_gb_months=(5, 1))
    assert sums.kept(1, Counts(row_bytes=2**20), Plan(instance_kilobytes=1024), given) == pytest.approx((3, 5))


def test_timers_of_a_quiet_month_cost_what_comes_out_by_hand():
    given = priced(executions=(1, 10), gb_seconds=(1, 100), table_calls=(1, 1))
    timers = {"one": Timer(100, Counted(tables=2)), "other": Timer(10, Counted())}
    # 110 runs, each a second of 4 GB; how many requests share an instance by day changes nothing.
    cost = sums.idle(Counts(timers=timers), Plan(memory_gb=4, at_once=16), given)
    assert (cost.storage, cost.executions, cost.instances) == pytest.approx((200, 11, 4.4))


def test_a_month_costs_what_comes_out_by_hand():
    """One study a day of 40 instances of 1 MB, in two requests; 30 days; kept for two months."""
    names = ("store 20 instances, new study", "search studies by PatientID", "metadata of a series, asked before",
             "retrieve a series of 20", "delete a study of 20")  # fmt: skip
    recorded = Counts({name: Counted(tables=10**place) for place, name in enumerate(names)}, {}, 0)
    plan = Plan(
        studies_per_day=1, instances_per_study=40, instance_kilobytes=1024, months_kept=2, retrievals_per_study=3,
        searches_per_study=4, front_door=True, private_endpoints=2, always_ready=1, memory_gb=2,
    )  # fmt: skip
    given = priced(
        table_calls=(1, 1), blob_gb_months=(1, 1), front_door_gb=(1, 1), internet_gb=(99, 1), front_door_months=(35, 1),
        front_door_requests=(1, 1), private_endpoint_hours=(1, 1), always_ready_gb_seconds=(1, 1),
    )  # fmt: skip
    made_gb = 30 * 40 / 1024
    assert sums.month(recorded, plan, given) == pytest.approx(
        {
            "storing": 30 * 2 * 1,
            "searching": 30 * 4 * 10,
            "metadata": 30 * 4 * 100,
            "retrieving": 30 * 3 * 2 * 1000,
            "deleting": 30 * 2 * 10000,
            "sending what is retrieved": made_gb * 3,
            "keeping files": made_gb * 2,
            "keeping their rows": 0,
            "timers": 0,
            "by the month, and requests through Front Door": 35 + 2 * 720 + 2 * 720 * 3600 + 30 * (4 + 6 + 8),
        }
    )


# Prices.


def test_prices_that_are_kept_here_say_where_they_are_from():
    for name, each in prices.read().by_name.items():
        assert each.page.startswith("https://azure.microsoft.com/pricing/"), name
        assert each.seen, name
        assert each.unit, name


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda file: file.pop("region"), "has no region"),
        (lambda file: file.update(prices=[]), "has no region"),
        (lambda file: file["prices"].pop("log_gb"), "log_gb is missing"),
        (lambda file: file["prices"].update(gold=file["prices"]["log_gb"]), "gold is no price that is used"),
        (lambda file: file["prices"]["log_gb"].pop("page"), "a price lacks something"),
        (lambda file: file["prices"]["log_gb"].update(price=-1), "log_gb needs a price"),
        (lambda file: file["prices"]["log_gb"].update(price="2"), "log_gb needs a price"),
        (lambda file: file["prices"]["log_gb"].update(price=float("nan")), "log_gb needs a price"),
        (lambda file: file["prices"]["log_gb"].update(per=0), "log_gb needs a price"),
        (lambda file: file["prices"]["log_gb"].update(noted="today"), "log_gb needs the day"),
        (lambda file: file["prices"]["log_gb"].update(confirmed="no"), "log_gb needs the day"),
    ],
)
def test_prices_with_a_fault_are_refused(tmp_path, change, fault, capsys):
    file = yaml.safe_load(prices.PRICES.read_text())
    change(file)
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump(file))
    with pytest.raises(PricesError, match=fault):
        prices.read(path)
    assert command.main(["--prices", str(path)]) == 1
    assert fault in capsys.readouterr().err


# The command, and the README.


def test_the_readme_has_the_tables_of_today():
    document = report.DOCUMENT.read_text(encoding="utf-8")
    tables = report.report(RECORDED, Plan(), prices.read())
    assert report.in_document(document, tables) == document, "python -m shared.dev.costs --write"


def test_a_line_of_the_readme_is_what_comes_out_by_hand():
    """A put at 0.05 for 10,000 and 8 calls at 0.00036 for 10,000, a million times: 5 + 0.288."""
    each = prices.read().by_name
    assert (each["blob_writes"].price, each["table_calls"].price) == (0.05, 0.00036), "then do the sum anew"
    line = next(line for line in report.DOCUMENT.read_text().splitlines() if "| store 1 instance, new study |" in line)
    assert [cell.strip() for cell in line.split("|")][2:4] == ["1", "0"]
    assert [cell.strip() for cell in line.split("|")][4] == "8"
    assert [cell.strip() for cell in line.split("|")][6:9] == ["5.29", "0.40", "52.00"]


def test_unconfirmed_prices_are_announced_and_confirmed_ones_are_not():
    told = report.report(RECORDED, Plan(), prices.read())
    assert "14 of 14 prices are **not confirmed**" in told
    assert "confirmed" not in report.report(RECORDED, Plan(), priced())


def test_options_change_the_plan(capsys):
    assert command.main([]) == 0
    usual = capsys.readouterr().out
    assert command.main(["--studies-per-day", "200", "--front-door", "--at-once", "8"]) == 0
    other = capsys.readouterr().out
    assert usual != other
    assert "200 studies a day" in other
    assert "8 requests at once on each" in other
    assert {each.name for each in dataclasses.fields(Plan)} == command._HELP.keys()


@pytest.mark.parametrize(
    "option",
    [
        "--studies-per-day=-1",
        "--at-once=0",
        "--instance-kilobytes=nan",
        "--memory-gb=inf",
        "--months-kept=many",
        "--write --at-once=2",
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(option, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(option.split())
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_document_without_a_place_is_refused():
    with pytest.raises(report.ReportError):
        report.in_document("# a document", "tables")
