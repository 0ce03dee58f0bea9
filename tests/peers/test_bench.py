"""The benchmark beside Orthanc runs."""

from __future__ import annotations

from shared.dev.bench import command as bench


def test_it_compares_each_request(capsys):
    assert bench.main(["peer", "--rounds", "1", "--instances", "3", "--kilobytes", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Beside Orthanc (")
    assert lines[2].split("  ")[0] == "request"
    assert len(lines[4:]) == 8
    assert all(float(line.split()[-1]) > 0 for line in lines[4:])
