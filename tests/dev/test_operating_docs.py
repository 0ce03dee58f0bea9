"""docs/operating.md: its commands do what it says, and its queries fit what the service really logs."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from shared.api import audit, pipeline
from shared.api.pipeline import Door
from shared.dev.azurite import RunningAzurite
from shared.dev.host.settings import environment
from shared.errors import StoreUnavailable
from shared.settings import Settings
from shared.storage.schema import READ
from shared.storage.stores import open_stores
from shared.stow.handlers import store_instances
from tests.api import made
from tests.support import pages
from tests.support.calls import bytes_of, call, multipart
from tests.support.files import synthetic_instance
from tests.support.recorded import dump, load
from tests.support.served import ROOT
from tests.support.storage import fresh_account

WHERE = "docs/operating.md"
PAGE = pages.text_of(WHERE)
BLOCKS = [(block.language, block.marks, block.text) for block in pages.blocks(WHERE)]
LOCAL = [(marks[1:], text) for kind, marks, text in BLOCKS if kind == "sh" and marks[:1] == ("local",)]
PAGE_QUERIES = [text for kind, _, text in BLOCKS if kind == "kusto"]
BOOK = json.loads((ROOT / "infra" / "workbook.json").read_text(encoding="utf-8"))
BOOK_QUERIES = [item["content"]["query"].replace("{Ending}", "'v1'") for item in BOOK["items"] if item["type"] == 3]
LISTS = [each["query"] for item in BOOK["items"] if item["type"] == 9 for each in item["content"]["parameters"]
         if "query" in each]  # fmt: skip
QUERIES = [*PAGE_QUERIES, *LISTS]
"""Those of the workbook are those of the page, and what its lists are made of."""
STUDY = "1.2.826.0.1.4711"
TOKENS = re.compile(r"'([^']*)'|(\w+|\*)(?::(\w+))?")
"""What a `parse` of KQL is made of: texts, columns with types, and stars for anything."""


def test_every_command_is_local_or_needs_azure():
    assert {marks[0] for kind, marks, _ in BLOCKS if kind == "sh"} == {"local", "azure", "make"}
    assert {kind for kind, _, _ in BLOCKS} == {"sh", "kusto", "json", "indented"}, "other blocks are not run"


# Queries.


@pytest.fixture(scope="module")
def logged():
    """Messages of the log, as the front door and the worker really write them."""
    caught: list[str] = []

    class Catching(logging.Handler):
        def emit(self, record):
            caught.append(record.getMessage())

    handler = Catching()
    loggers = [(one, one.level) for one in map(logging.getLogger, (pipeline.LOG.name, audit.LOG.name))]
    for logger, _ in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        asyncio.run(_requests())
    finally:
        for logger, level in loggers:
            logger.removeHandler(handler)
            logger.setLevel(level)
    return [*caught, _slice_line()]


async def _requests():
    async def fail(_call):
        raise StoreUnavailable

    headers = {"User-Agent": "OHIF/3.9 (Linux)"}
    request = made.arrival(path={"studyInstanceUid": STUDY}, headers=headers)
    for act in (None, fail):
        endpoint = made.bound(room=made.Room(act))["v2_retrieveStudy"]
        await pipeline.answer(endpoint, request, Door(made.door().stores, made.SETTINGS))


def _slice_line():
    """What tests/api/test_jobs.py sees written; here from the very format, as its work needs storage."""
    source = (ROOT / "shared" / "api" / "jobs.py").read_text()
    (form,) = re.findall(r'"(slice kind=[^"]*)"', source)
    return form % ("export", "0f8f", 3, 12, "storage_ms=1 storage_calls=2 storage_read_bytes=3 storage_written_bytes=4",
                   "50", "running")  # fmt: skip


def pattern(parsed):
    """A `parse` of KQL as a regular expression."""
    built = ""
    for text, column, kind in TOKENS.findall(parsed):
        if column == "*":
            built += ".*?"
        elif column:
            built += f"(?P<{column}>{r'[0-9]+' if kind in ('int', 'long') else '.*?'})"
        else:
            built += re.escape(text)
    return re.compile(built)


def test_the_workbook_asks_what_the_page_asks_but_for_who_did_what():
    (left_out,) = {text.rstrip() for text in PAGE_QUERIES} - set(BOOK_QUERIES)
    assert left_out.startswith("let study = ")
    assert len(BOOK_QUERIES) == len(PAGE_QUERIES) - 1
    assert len(LISTS) == 1


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_every_query_finds_and_reads_lines_that_the_service_writes(query, logged):
    begins = re.findall(r"startswith '([^']+)'", query)
    assert begins
    code = "\n".join(path.read_text() for path in (ROOT / "shared").rglob("*.py"))
    for begin in begins:
        assert any(line.startswith(begin) for line in logged) or f'"{begin}' in code, begin
    for parsed in re.findall(r"\| parse Message with (.*)", query):
        lines = [line for line in logged if line.startswith(begins[0])]
        assert lines
        for line in lines:
            found = pattern(parsed).fullmatch(line)
            assert found, line
            for name, value in found.groupdict().items():
                assert value, name
                assert "=" not in value, (name, value)


@pytest.mark.parametrize("query", [query for query in QUERIES if "parse_json" in query], ids=("ending", "study"))
def test_queries_of_the_audit_name_members_that_records_have(query, logged):
    (record, *_) = [json.loads(line) for line in logged if line.startswith('{"time"')]
    # With access control, the caller is an object; its members are those of the claims (docs/access.md).
    record["caller"] = {"application": "known"}
    for path in re.findall(r"record\.([\w.]+)", query):
        if path == "about":
            continue  # a request that brings UIDs has it: tests/api/test_audit.py
        value = record
        for member in path.split("."):
            value = value[member]
    if "studyInstanceUid" in query:
        assert record["resources"]["studyInstanceUid"] == STUDY


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_queries_use_only_columns_that_they_have(query):
    """No Azure is here to say so: each name that is no table, function or word of the language is made in the query."""
    parsed = " ".join(re.findall(r"parse Message with (.*)", query))
    made_here = {column for _, column, _ in TOKENS.findall(parsed)}
    made_here |= set(re.findall(r"(\w+) = ", query)) | set(re.findall(r"let (\w+) =", query))
    given = {"AppTraces", "Message", "TimeGenerated", "ItemCount", "SeverityLevel"}
    names = set(re.findall(r"\b[A-Z]\w+", re.sub(r"'[^']*'", "", query)))
    assert names <= made_here | given
    assert query.count("(") == query.count(")")


def test_the_table_of_the_access_line_has_its_fields_and_no_others(logged):
    (line, _) = [line for line in logged if line.startswith("request ")]
    fields = re.findall(r"(\w+)=", line)
    table = PAGE.partition("| field | what it is |")[2].partition("\n\n")[0]
    assert [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])] == fields
    (example,) = re.findall(r"^    (request operation=.*)$", PAGE, re.MULTILINE)
    assert re.findall(r"(\w+)=", example) == fields
    assert "client=OHIF/3.9 " in line


def test_every_line_that_the_page_explains_is_one_that_the_code_writes():
    table = PAGE.partition("| begins with | level |")[2].partition("\n\n")[0]
    begins = [text for row in table.splitlines()[2:] for text in re.findall(r"`([^`]+)`", row.split("|")[1])]
    code = "\n".join(path.read_text() for path in (ROOT / "shared").rglob("*.py"))
    assert len(begins) > 8
    assert [text for text in begins if f'"{text}' not in code] == []


def test_audit_and_access_lines_are_not_sampled():
    logs = json.loads((ROOT / "host.json").read_text())["logging"]
    assert "Trace" in logs["applicationInsights"]["samplingSettings"]["excludedTypes"].split(";")


# Commands.


def one_file(study):
    return synthetic_instance(study_uid=study, series_uid=f"{study}.1", sop_instance_uid=f"{study}.1.1")


async def stored(account, study):
    stores = open_stores(Settings(storage_connection=account))
    try:
        body, headers = multipart([one_file(study)])
        reply = await store_instances(call(body, headers=headers), stores)
        assert reply.status == 200, await bytes_of(reply)
    finally:
        await stores.close()


async def studies(account):
    found = await dump(account)
    return {row["PartitionKey"].partition("~")[2] for name, rows in found["tables"].items() if name[:4] == "main"
            for row in rows}  # fmt: skip


@pytest.mark.azurite
def test_tables_and_blobs_that_were_kept_are_a_whole_store_again(azurite, tmp_path, monkeypatch, capsys):
    """Every local block that needs only storage, in the order of the page; blobs go to the new account beside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DICOM_STORAGE__accountName", raising=False)
    Path("local.settings.json").write_text('{"Values": {}}')
    old, new = (fresh_account(azurite.connection_string) for _ in range(2))
    asyncio.run(stored(old, STUDY))
    monkeypatch.setenv("DICOM_STORAGE", old)
    for marks, block in LOCAL:
        if "stopped" in marks:
            continue
        if "restore" in marks:
            asyncio.run(stored(old, f"{STUDY}.2"))
            asyncio.run(load(new, {"tables": {}, "blobs": asyncio.run(dump(old))["blobs"]}))
            monkeypatch.setenv("DICOM_STORAGE", new)
        for line in block.splitlines():
            run_here(line)
    assert asyncio.run(studies(old)) == {STUDY, f"{STUDY}.2"}
    assert asyncio.run(studies(new)) == {STUDY}
    printed = capsys.readouterr().out
    assert printed.count("Nothing is broken.") == 2
    assert " ".join(map(str, READ)) in printed


def run_here(line):
    """A command of the page in this process, which is much faster than one of its own."""
    program, *words = shlex.split(line, comments=True)
    assert program == ".venv/bin/python", line
    if words[0] == "-c":
        exec(words[1], {})
        return
    assert words.pop(0) == "-m"
    assert importlib.import_module(words[0]).main(words[1:]) == 0, line


@pytest.mark.slow
@pytest.mark.azurite
def test_a_folder_that_was_kept_is_the_store_of_that_day(tmp_path):
    """All local blocks in a shell, with an emulator on the folder that they copy."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "shared").symlink_to(ROOT / "shared")
    restored = False
    before = _settled(tmp_path, STUDY)
    for marks, block in LOCAL:
        if "stopped" in marks:
            if "restore" in marks:
                _settled(tmp_path, f"{STUDY}.2")
                restored = True
            shell(tmp_path, block)
        elif "restore" not in marks:
            with Running(tmp_path):
                shell(tmp_path, block)
    assert restored
    with Running(tmp_path) as account:
        shell(tmp_path, next(block for _, block in LOCAL if "fsck" in block))
        assert asyncio.run(dump(account))["blobs"] == before
        assert asyncio.run(studies(account)) == {STUDY}


class Running:
    """The emulator on the folder, and settings that lead to it."""

    def __init__(self, where):
        self._where = where
        self._runner = RunningAzurite(where / ".azurite", environment())

    def __enter__(self):
        account = self._runner.__enter__().connection_string
        (self._where / "local.settings.json").write_text(json.dumps({"Values": {"DICOM_STORAGE": account}}))
        return account

    def __exit__(self, *ending):
        self._runner.__exit__(*ending)


def _settled(where, study):
    """Store a study; the blobs that are there then."""
    with Running(where) as account:
        asyncio.run(stored(account, study))
        return asyncio.run(dump(account))["blobs"]


def shell(where, block):
    """Run commands as somebody does who copies them."""
    clean = {name: text for name, text in environment().items() if not name.startswith("DICOM_")}
    ran = subprocess.run(
        ["/bin/sh", "-ec", block],
        cwd=where,
        env=clean,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "fsck" not in block or "Nothing is broken." in ran.stdout
