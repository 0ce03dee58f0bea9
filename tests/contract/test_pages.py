"""What the pages say can be done: links lead somewhere, and every command is run by a test or marked as not run."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from shared.dev.host.settings import environment
from tests.dev import test_operating_docs
from tests.dev.cli import test_copy, test_docs
from tests.support import pages
from tests.support.served import ROOT

OTHER_LANGUAGES = {"", "indented", "text", "json", "yaml", "python", "kusto", "mermaid", "bicep", "console"}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):.* ## ", MAKEFILE, re.MULTILINE))
WORDS = {"it", "one", "sure"}
"""What else `make` can be said of."""


class Parsed(BaseException):
    """The command line is understood. Not an error, so that nobody takes it on its way."""


@pytest.fixture
def parse(monkeypatch, capsys):
    """Give a module of shared.dev a command line; it goes as far as understanding it."""
    whole = argparse.ArgumentParser.parse_args

    def stop(self, *arguments, **options):
        whole(self, *arguments, **options)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)

    def run(module, words, where):
        found = importlib.util.find_spec(module)
        assert found, f"{where}: there is no {module}"
        main = importlib.import_module(f"{module}.command" if found.submodule_search_locations else module).main
        try:
            main(words)
        except Parsed:
            return
        except SystemExit:
            pytest.fail(f"{where}: {module} {' '.join(words)}: {capsys.readouterr().err}")
        pytest.fail(f"{where}: {module} has no parser")

    return run


def planned(words):
    """What `make` with these words would start of our modules: name and arguments of each."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    command = ["make", "--dry-run", "-o", "setup", *words, f"PYTHON={sys.executable}"]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stderr
    lines = [text for text in run.stdout.replace("\\\n", " ").splitlines() if ".venv/bin/python -m shared.dev." in text]
    modules = [text.partition(" -m ")[2] for text in lines]
    expanded = [re.sub(r"\$(\w+)", lambda name: given[name[1]], text) for text in modules]
    return [shlex.split(text) for text in expanded]


# Blocks.


@pytest.mark.parametrize("page", pages.names())
def test_every_block_of_commands_says_who_runs_it(page):
    fences = re.findall(r"^[ \t]+(?:```|~~~).*|^~~~.*", pages.text_of(page), re.MULTILINE)
    assert fences == [], "a fence begins its line"
    for block in pages.blocks(page):
        if block.language == "sh":
            assert len(pages.MARKS.intersection(block.marks)) == 1, f"{block.place}: mark it, see tests/support/pages"
        else:
            assert block.language in OTHER_LANGUAGES, block.place
            commands = [line for line in block.text.splitlines() if pages.COMMAND.match(line)]
            assert block.language == "console" or commands == [], f"{block.place}: fence it as `sh`, with a mark"


def test_a_page_with_blocks_that_one_test_runs_in_order_is_known_to_that_test():
    assert {block.page for block in pages.marked("local")} == {test_operating_docs.WHERE}
    transcripts = {page for page in pages.names() for block in pages.blocks(page) if block.language == "console"}
    assert transcripts == {test_docs.WHERE, test_copy.WHERE}


@pytest.mark.parametrize("mark", ["azure", "tools"])
def test_what_nobody_runs_here_really_needs_what_is_not_here(mark):
    needed = {"azure": r"\b(az|azcopy|gh) ", "tools": r"\b(func|docker|podman|npx) |shared\.dev\.peers install"}[mark]
    found = pages.marked(mark)
    assert found
    assert [block.place for block in found if not re.search(needed, block.text)] == []


def test_what_is_run_here_needs_nothing_else():
    here = [block for mark in ("served", "local", "make", "long") for block in pages.marked(mark)]
    assert [block.place for block in here if re.search(r"^(az|azcopy|gh|func) ", block.text, re.MULTILINE)] == []


def test_commands_that_are_only_looked_up_have_targets_modules_and_arguments_that_are_taken(parse):
    """Blocks marked `make` and `long` have nothing else; of those that need what is not here, what is ours."""
    blocks = [block for mark in ("make", "long", "tools", "azure") for block in pages.marked(mark)]
    lines = {re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line): block for block in blocks for line in block.commands}
    ours = {
        line: block.place for line, block in lines.items() if re.match(r"make |\.venv/bin/python -m shared\.", line)
    }
    others = [block for line, block in lines.items() if line not in ours]
    assert [block.place for block in others if not {"tools", "azure"}.intersection(block.marks)] == []
    assert len(ours) > 20
    for line, where in ours.items():
        program, *words = shlex.split(line, comments=True)
        assert program != "make" or words[0] in TARGETS, f"{where}: {line}"
        for module, *arguments in planned(words) if program == "make" else [words[1:]]:
            parse(module, arguments, where)


# How pages are read.


@pytest.mark.parametrize(
    "line",
    [
        "make run",
        "$ dicom versions",
        "A=1 make run",
        "curl -i $ROOT",
        ".venv/bin/python -m a",
        "F=$(a)",
        ". .venv/a",
        "az a",
    ],
)
def test_a_line_that_begins_with_a_program_is_a_command(line):
    assert pages.COMMAND.match(line)


@pytest.mark.parametrize(
    "line", ["makes it", "GET /v2/studies", '{"a": 1}', "request operation=a", " make a", "a make"]
)
def test_other_lines_are_none(line):
    assert not pages.COMMAND.match(line)


def test_blocks_links_and_headings_are_found_and_blocks_are_no_text(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    lines = [
        "# A `b` [c](d.md)",
        "",
        "```sh local stopped",
        "make run \\",
        "  A=1",
        "# [no](link.md)",
        "```",
        "",
        "    curl a",
        "",
    ]
    (tmp_path / "page.md").write_text(
        "\n".join([*lines, "```json one.json", "{}", "```", "[e](f.md#g), `h`", "# A", "# A"])
    )
    first, second, third = pages.blocks("page.md")
    assert (first.language, first.marks, first.line, first.commands) == (
        "sh",
        ("local", "stopped"),
        3,
        ["make run    A=1"],
    )
    assert (second.language, second.text) == ("indented", "curl a\n")
    assert (third.file, first.file) == ("one.json", "")
    assert pages.links("page.md") == ["d.md", "f.md#g"]
    assert pages.spans("page.md") == ["b", "h"]
    assert pages.anchors("page.md") == {"a-b-c", "a", "a-1"}
    assert pages.relative("page.md", "f.md#g") == tmp_path / "f.md"


# Text.


@pytest.mark.parametrize("page", pages.names())
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page):
    for target in pages.links(page):
        if not re.match(r"https?:", target):
            place = pages.relative(page, target)
            assert place.exists(), target
            if "#" in target:
                name = place.resolve().relative_to(ROOT).as_posix()
                assert target.partition("#")[2] in pages.anchors(name), target


@pytest.mark.parametrize("page", pages.names())
def test_every_path_that_the_text_names_is_there(page):
    beside = (ROOT, ROOT / "shared", (ROOT / page).parent, *(ROOT / folder for folder in ("docs", "tests")))
    for span in pages.spans(page):
        if re.fullmatch(r"(docs|infra|shared|tests|versions)/[\w./-]*", span) and span != "tests/golden/":
            assert any((folder / span).exists() or (folder / f"{span}.py").exists() for folder in beside), span


@pytest.mark.parametrize("page", [page for page in pages.names() if page != "CHANGELOG.md"])
def test_every_command_that_the_text_names_is_there(page, parse):
    for span in pages.spans(page):
        if re.match(r"make [a-z]", span):
            target = span.split()[1]
            assert target in TARGETS | WORDS, span
        found = re.match(r"(?:\.venv/bin/)?python -m (shared\.dev\.\w+) ?(.*)", span)
        if found:
            where = f"{page}: {span}"
            assert importlib.util.find_spec(found[1]), where
            if found[2] and "…" not in found[2]:
                parse(found[1], shlex.split(found[2]), where)
        selected = re.match(r"(?:\.venv/bin/)?(?:python -m )?pytest (tests/\S+)", span)
        assert not selected or Path(ROOT, selected[1]).exists(), span
