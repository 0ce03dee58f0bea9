"""docs/benchmarks.md names every benchmark, and every benchmark that a page names runs."""

from __future__ import annotations

import pytest

from shared.dev.bench import command as bench
from tests.support import pages

SMALL = {
    "storage": ("--rounds", "1", "--calls", "2"),
    "memory": ("--megabytes", "2", "--budget", "500"),
    "json": ("--rounds", "1", "--calls", "1"),
    "multipart": ("--megabytes", "1", "--rounds", "1"),
    "store": ("--rounds", "1", "--scale", "0.01", "--only", " 1 x 512 KB"),
    "search": ("--sizes", "20", "40", "--rounds", "1"),
    "reindex": ("--sizes", "200", "400"),
    "codecs": ("--rounds", "1", "--calls", "1"),
    "frames": ("--frames", "1", "20", "--rounds", "1", "--cold", "1"),
    "update": ("--studies", "1", "--instances", "2", "--kilobytes", "100"),
    "worklist": ("--sizes", "20", "40"),
    "telemetry": ("--rounds", "1", "--calls", "5"),
}
"""What makes each of them short; without it they take up to two minutes."""

COMMANDS = [
    (block.page, line.partition("#")[0].split())
    for block in pages.marked("long")
    for line in block.commands
    if "shared.dev.bench" in line
]


def test_the_page_lists_every_benchmark():
    first, *_ = pages.blocks("docs/benchmarks.md")
    assert [line.split()[3] for line in first.commands] == list(bench.BENCHES) == list(SMALL)


@pytest.mark.slow
@pytest.mark.azurite
@pytest.mark.served
@pytest.mark.parametrize("what", sorted({words[3] for _, words in COMMANDS}))
def test_a_benchmark_that_a_page_names_prints_its_table(what, capsys):
    assert bench.main([what, *SMALL[what]]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 4
