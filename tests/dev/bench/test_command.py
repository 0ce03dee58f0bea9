"""The benchmarks run and print what they say they print; how fast anything is, is not tested."""

import asyncio
import re

import pytest

from shared.dev.bench import command as bench
from shared.dev.bench.files import BIG_ENDIAN, EXPLICIT, IMPLICIT, beside, body, body_bytes, instance, series_of
from shared.dev.bench.memory import Reading, report
from shared.dev.bench.report import MIB, Figures, number, ratio
from shared.dicom.part10 import Part10Scanner, read_dataset
from shared.wire.multipart import read_parts

FIGURE = re.compile(r"-?[\d,]+(\.\d+)?%?|-|OK|OVER")


async def printed(capsys, *arguments):
    """Exit code, heads and rows (first cell and the others) of a benchmark that was run as from the command line."""
    code = await asyncio.to_thread(bench.main, arguments)
    out, err = capsys.readouterr()
    assert f"] {arguments[0]}: " in err, "progress goes to stderr"
    title, empty, head, line, *rows = out.splitlines()
    assert title
    assert not empty
    assert set(line) == {"-", " "}
    split = [re.split(r"\s{2,}", row) for row in rows]
    heads = re.split(r"\s{2,}", head)
    assert all(len(row) == len(heads) for row in split)
    assert all(FIGURE.fullmatch(cell) for row in split for cell in row[1:]), out
    return code, heads, {row[0] if row[1:2] != ["8"] else f"{row[0]} by 8": row[1:] for row in split}


@pytest.mark.azurite
@pytest.mark.slow
async def test_storage_shows_each_call_in_three_ways_with_both_ratios(capsys):
    code, heads, rows = await printed(capsys, "storage", "--rounds", "1", "--calls", "2")
    assert code == 0
    assert heads[1:6] == ["ours cpu ms", "bare cpu ms", "sdk cpu ms", "ours/bare", "sdk/bare"]
    assert list(rows) == [
        "Blobs.open, 10 KB",
        "Blobs.put, 10 KB",
        "Blobs.open, 512 KB",
        "Blobs.put, 512 KB",
        "Tables.get",
        "Tables.pages, 100 rows",
        "Tables.transact, 10 rows",
    ]


@pytest.mark.azurite
@pytest.mark.served
@pytest.mark.slow
async def test_memory_shows_what_each_request_takes_above_idle(capsys):
    code, heads, rows = await printed(capsys, "memory", "--megabytes", "2", "--budget", "500")
    assert code == 0
    assert heads == ["request", "body MB", "seconds", "above idle MB", "now MB", "budget"]
    assert len(rows) == 9
    assert {row[-1] for row in rows.values()} == {"OK"}


@pytest.mark.parametrize(("budget", "verdicts", "code"), [(20, ["OK", "OK"], 0), (19, ["OK", "OVER"], 1)])
def test_one_request_over_the_budget_fails_the_memory_benchmark(budget, verdicts, code):
    readings = [Reading("small", 0.1, MIB, 5 * MIB, 0), Reading("large", 0.1, MIB, 20 * MIB, 0)]
    text, got = report(100 * MIB, readings, budget)
    assert got == code
    assert [line.split()[-1] for line in text.splitlines()[-2:]] == verdicts


def test_many_requests_at_once_have_a_budget_of_their_own():
    readings = [Reading("at once", 0.1, MIB, 20 * MIB, 0, budget_megabytes) for budget_megabytes in (19, 20, None)]
    text, code = report(100 * MIB, readings, 20)
    assert code == 1
    assert [line.split()[-1] for line in text.splitlines()[-3:]] == ["OVER", "OK", "OK"]


async def test_json_shows_ours_and_pydicoms_time_for_each_file(capsys):
    code, heads, rows = await printed(capsys, "json", "--rounds", "1", "--calls", "1")
    assert code == 0
    assert heads.count("ratio") == 2
    assert [name.split(",")[0] for name in rows] == ["CT_small.dcm", "reportsi.dcm", "eCT_Supplemental.dcm"]


async def test_multipart_shows_each_reader_for_long_and_short_parts(capsys):
    code, heads, rows = await printed(capsys, "multipart", "--megabytes", "1", "--rounds", "1")
    assert code == 0
    assert heads[1:] == ["ours MB/s", "bare MB/s", "find MB/s", "dicomweb MB/s", "email MB/s", "ours/dicomweb"]
    assert list(rows) == ["1 part", "2 of 512 KB", "512 of 2 KB"]


@pytest.mark.azurite
@pytest.mark.served
@pytest.mark.slow
async def test_store_shows_each_request_with_one_and_with_eight_clients_as_share_of_the_floor(capsys):
    code, heads, rows = await printed(capsys, "store", "--rounds", "1", "--scale", "0.01", "--only", " 1 x 512 KB")
    assert code == 0
    assert heads == ["request", "clients", "inst/s", "ms", "host ms", "floor inst/s", "floor ms", "share"]
    assert list(rows) == ["STOW 1 x 512 KB", "STOW 1 x 512 KB by 8", "WADO 1 x 512 KB", "WADO 1 x 512 KB by 8"]
    assert all(row[-1].endswith("%") for row in rows.values())


def test_a_benchmark_of_nothing_says_so(capsys):
    assert bench.main(["store", "--only", "QIDO"]) == 1
    assert "QIDO" in capsys.readouterr().err


def test_help_says_what_every_figure_means(capsys):
    for what in ("storage", "memory", "json", "multipart", "store", "search"):
        with pytest.raises(SystemExit) as ended:
            bench.main([what, "--help"])
        assert ended.value.code == 0
        assert len(capsys.readouterr().out.splitlines()) > 12


def test_a_word_that_is_no_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(["everything"])
    assert ended.value.code == 2
    assert "storage" in capsys.readouterr().err


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_made_instance_is_a_dicom_file_of_the_size_that_was_asked_for(syntax):
    made = instance(100_000, syntax)
    content = b"".join(made.pieces())
    scanner = Part10Scanner()
    scanner.feed(content)
    scanned = scanner.finish()
    assert len(content) == made.size_bytes == 100_000
    assert scanned.transfer_syntax == syntax
    assert scanned.pixels is not None
    assert scanned.pixels.length_bytes == made.pixel_bytes
    dataset = read_dataset(scanned)
    uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    assert uids == (made.study_uid, made.series_uid, made.sop_instance_uid)


async def test_a_body_is_as_long_as_it_says_and_its_parts_are_the_instances():
    instances = series_of(3, 70_000)
    chunks = [chunk async for chunk in body(instances)]
    assert len(b"".join(chunks)) == body_bytes(instances)

    async def again():
        for chunk in chunks:
            yield chunk

    parts = [b"".join([chunk async for chunk in part]) async for part in read_parts(again(), "benchmark-boundary")]
    assert parts == [b"".join(each.pieces()) for each in instances]


def test_instances_beside_each_other_share_study_and_series_and_nothing_else():
    one = instance(2_000)
    other = beside(one)
    assert (other.study_uid, other.series_uid) == (one.study_uid, one.series_uid)
    assert other.sop_instance_uid != one.sop_instance_uid
    assert other.sop_instance_uid.encode() in other.head
    assert one.sop_instance_uid.encode() not in other.head


def test_a_table_lines_its_figures_up():
    text = Figures("Title", ("what", "ms"), (("one", "1.00"), ("another", "10.5"))).text()
    assert text.splitlines() == ["Title", "", "what       ms", "-------  ----", "one      1.00", "another  10.5"]


@pytest.mark.parametrize(("value", "shown"), [(0.1234, "0.12"), (12.34, "12.3"), (1234.5, "1,234")])
def test_a_figure_has_about_three_digits(value, shown):
    assert number(value) == shown


def test_a_ratio_to_nothing_is_not_shown():
    assert ratio(3, 2) == "1.50"
    assert ratio(3, 0) == "-"


@pytest.mark.azurite
@pytest.mark.slow
async def test_update_shows_what_it_moves_beside_what_is_stored(capsys):
    code, heads, rows = await printed(
        capsys, "update", "--studies", "2", "--instances", "3", "--kilobytes", "200", "--again"
    )
    assert code == 0
    assert heads[1:5] == ["stored MB", "sent MB", "received MB", "KB a file"]
    assert list(rows) == ["store", "update", "update again"]
    for name in ("update", "update again"):
        assert float(rows[name][3]) < 40
