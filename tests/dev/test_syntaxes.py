"""The table of transfer syntaxes in the docs is what comes out when its files are sent to the service."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest

from shared.dev.bench.report import BenchError, Progress
from shared.dev.syntaxes import command as syntaxes
from shared.dev.syntaxes.checks import Answer, Checked, Outcome, compared, expected_of, failed
from shared.dev.syntaxes.files import Specimen, raw_frames, specimens
from shared.dicom.codecs import CODECS

NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
QUICK_SAMPLES = 512 * 512
NEARLY = re.compile(r"200 ±(\d+)")

pytestmark = pytest.mark.filterwarnings("ignore")


def rows_of(text: str) -> dict[tuple[str, ...], list[str]]:
    """Cells of a table by what it says of the file, with the reasons in the place of their numbers."""
    reasons = dict(re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE))
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "]
    return {
        tuple(line[:3]): [re.sub(r"\((\d+)\)", lambda found: reasons[found[1]], cell) for cell in line[3:]]
        for line in lines[2:]
    }


def documented() -> dict[tuple[str, ...], list[str]]:
    text = syntaxes.DOCUMENT.read_text(encoding="utf-8")
    return rows_of(text.partition(syntaxes.BEGIN)[2].partition(syntaxes.END)[0])


def agree(documented: str, now: str) -> bool:
    """The same; encoders of another version or processor may lose a little more or less."""
    before, after = NEARLY.fullmatch(documented), NEARLY.fullmatch(now)
    if before and after:
        return abs(int(before[1]) - int(after[1])) <= max(1, int(before[1]) // 4)
    return documented == now


async def expect_as_documented(files: list[Specimen]) -> None:
    checked = await asyncio.to_thread(syntaxes.examined, files, Progress("test"))
    assert [one.specimen.name for one in checked if failed(one)] == []
    before, now = documented(), rows_of(syntaxes.table(checked))
    assert len(now) == len(files)
    for key, cells in now.items():
        assert key in before
        assert len(cells) == len(before[key])
        assert all(agree(*pair) for pair in zip(before[key], cells, strict=True)), (key, before[key], cells)


@pytest.fixture(scope="module")
def files() -> list[Specimen]:
    return specimens()


@pytest.mark.azurite
@pytest.mark.served
@pytest.mark.slow
async def test_a_small_file_of_each_syntax_does_what_the_docs_say(files):
    quick = {one.transfer_syntax: one for one in reversed(files) if one.video or one.samples <= QUICK_SAMPLES}
    assert set(quick) == {one.transfer_syntax for one in files}
    await expect_as_documented(list(quick.values()))


@pytest.mark.azurite
@pytest.mark.served
@pytest.mark.slow
async def test_every_file_does_what_the_docs_say(files):
    await expect_as_documented(files)


def test_the_docs_have_a_row_for_each_file_and_no_other(files):
    rows = [Checked(one, "", *[Outcome("")] * 5) for one in files]
    assert list(rows_of(syntaxes.table(rows))) == list(documented())


def test_every_syntax_that_is_decoded_or_passed_through_has_a_file(files):
    tried = {one.transfer_syntax for one in files}
    assert set(CODECS) | NATIVE <= tried
    assert {f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109)} <= tried


def test_no_answer_in_the_docs_is_wrong_or_an_error_and_each_refusal_has_its_reason():
    cells = [cell for row in documented().values() for cell in row]
    assert not [cell for cell in cells if "≠" in cell or re.search(r"\b5\d\d\b", cell)]
    assert all(len(cell) > len("406 ") + 10 for cell in cells if cell.startswith("406"))


def test_what_is_compared_is_compared_with_samples_of_every_frame(files):
    one = next(file for file in files if file.name == "emri_small_RLE.dcm")
    expected = expected_of(one)
    assert expected.samples is not None
    assert expected.samples.shape == (10, 64, 64)
    assert len(expected.native) == 10 * 64 * 64 * 2
    assert len(raw_frames(one)) == 10


@pytest.mark.parametrize(
    ("got", "cell"),
    [
        (b"\1\0\2\0", "200 ="),
        (b"\1\0\2\0\0", "200 ="),
        (b"\4\0\2\0", "200 ±3"),
        (b"\1\0\2\1", "200 ±256"),
        (b"\1\0", "200 ≠"),
        (b"", "200 ≠"),
    ],
)
def test_samples_are_compared_to_the_last_one(got, cell):
    assert compared(got, b"\1\0\2\0", np.dtype("<u2")).text == cell


def test_parts_with_another_label_are_no_parts():
    body = b"--b\r\nContent-Type: x/y; transfer-syntax=1.2.1\r\n\r\none\r\n--b\r\nContent-Type: x/y\r\n\r\ntwo\r\n--b--"
    assert Answer(200, 'multipart/related; boundary="b"', body).parts("1.2.1") == [b"one"]


@pytest.mark.parametrize("text", ["200 ≠", "500", "frames 200 =; instance 503"])
def test_a_wrong_answer_in_any_cell_is_a_failure(files, text):
    right = Outcome("200 =")
    assert not failed(Checked(files[0], "pydicom", right, right, right, right, Outcome("406", "no")))
    assert failed(Checked(files[0], "pydicom", right, right, right, right, Outcome(text)))


def test_the_table_takes_the_place_of_the_one_before():
    document = f"before\n{syntaxes.BEGIN}\nold\n{syntaxes.END}\nafter\n"
    once = syntaxes.in_document(document, "| new |")
    assert once == f"before\n{syntaxes.BEGIN}\n\n| new |\n\n{syntaxes.END}\nafter\n"
    assert syntaxes.in_document(once, "| new |") == once
    with pytest.raises(BenchError):
        syntaxes.in_document("no place", "| new |")


def test_reasons_are_told_once_below_the_table(files):
    refused = Outcome("406", "It is a <video> | or `*`.")
    rows = [Checked(one, "-", Outcome("200 ="), *[refused] * 4) for one in files[:2]]
    text = syntaxes.table(rows)
    assert text.count("406 (1)") == 8
    assert text.splitlines()[-1] == "1. It is a &lt;video> \\| or `\\*`."
