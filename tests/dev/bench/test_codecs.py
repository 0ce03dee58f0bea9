"""The benchmark of the codecs runs, and shows every codec beside another one where there is one."""

from __future__ import annotations

import re

from shared.dev.bench import command as bench


def test_codecs_shows_each_codec_beside_others(capsys):
    assert bench.main(["codecs", "--rounds", "1", "--calls", "1"]) == 0
    out, err = capsys.readouterr()
    assert "] codecs: " in err
    _title, _empty, head, _line, *rows = out.splitlines()
    assert re.split(r"\s{2,}", head) == ["frame", "ours ms", "pylibjpeg ms", "ratio", "gdcm ms", "ratio"]
    cells = {row[0]: row[1:] for row in (re.split(r"\s{2,}", row) for row in rows)}
    assert len(cells) == 15
    assert all(re.fullmatch(r"[\d,.]+|-", cell) for row in cells.values() for cell in row)
    assert all(row[0] != "-" for row in cells.values())
    without_another = {name for name, row in cells.items() if row[1] == row[3] == "-"}
    assert without_another == {"JPEG XL lossless, grey", "JPEG XL, colour", "Deflated frames, grey"}
