"""The benchmark of frames runs, and shows that a frame costs the same whatever object it is of."""

from __future__ import annotations

import asyncio
import re

import pytest

from shared.dev.bench import command as bench
from shared.dev.bench.framed import NOISE_BYTES, FramedObject, noise, pictures
from shared.dicom.frames import frame_table
from shared.dicom.part10 import Part10Scanner, read_dataset


async def content_of(made: FramedObject) -> bytes:
    return b"".join([piece async for piece in made.pieces()])


@pytest.mark.azurite
@pytest.mark.served
@pytest.mark.slow
async def test_a_frame_takes_the_same_calls_and_bytes_in_an_object_of_any_length(capsys):
    code = await asyncio.to_thread(bench.main, ["frames", "--frames", "1", "300", "--rounds", "1", "--cold", "1"])
    out, err = capsys.readouterr()
    assert code == 0
    assert "] frames: " in err
    _title, _empty, head, _line, *lines = out.splitlines()
    heads = re.split(r"\s{2,}", head)
    assert heads[:3] == ["object, frames, frame", "calls", "blob bytes"]
    assert heads.count("ratio") == 3
    rows = {line[0]: line[1:] for line in (re.split(r"\s{2,}", line) for line in lines)}
    places = ("1, only", "300, first", "300, middle", "300, last", "300 by 1")
    assert sorted(rows) == sorted(f"{kind}, {place}" for kind in ("encapsulated", "native") for place in places)
    assert all(re.fullmatch(r"[\d,]+(\.\d+)?", cell) for row in rows.values() for cell in row)
    item_bytes = {"encapsulated": 8, "native": 0}
    for kind, more in item_bytes.items():
        for place in places[:-1]:
            assert rows[f"{kind}, {place}"][:2] == ["2", f"{NOISE_BYTES + more:,}"]
        assert rows[f"{kind}, 300 by 1"][:2] == ["1.00", "1.00"]
    # A new worker looks for data partitions, and reads a page of a table of frames that is too long for the row.
    cold = heads.index("cold: calls") - 1
    assert [rows[f"{kind}, 300, last"][cold] for kind in item_bytes] == ["4", "3"]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("encapsulated", [True, False], ids=["encapsulated", "native"])
async def test_an_object_of_many_frames_is_a_file_with_each_frame_where_it_says(count, encapsulated):
    made = noise(count, encapsulated=encapsulated)
    content = await content_of(made)
    assert len(content) == made.size_bytes
    scanner = Part10Scanner()
    scanner.feed(content)
    scanned = scanner.finish()
    table = frame_table(scanned)
    assert table is not None
    assert table.count == count
    uids = read_dataset(scanned)
    assert made.path.split("/")[1::2] == [uids.StudyInstanceUID, uids.SeriesInstanceUID, uids.SOPInstanceUID]
    frames = [content[made.offset(frame) : made.offset(frame) + NOISE_BYTES] for frame in range(1, count + 1)]
    assert frames == [made.content(frame) for frame in range(1, count + 1)]
    assert len(set(frames)) == count


async def test_an_object_of_pictures_has_as_many_as_it_says():
    made = pictures(5)
    content = await content_of(made)
    assert len(content) == made.size_bytes
    assert content.count(made.content(1)) == 5


def test_help_says_what_every_figure_means(capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(["frames", "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(
        f"\n  {head}  " in printed
        for head in ("calls", "blob bytes", "range ms", "room ms", "HTTP ms", "ratio", "cold")
    )
