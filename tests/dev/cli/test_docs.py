"""docs/command-line.md: its transcripts are what the command prints, and it names every command and option."""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
import shutil

import pytest

from tests.dev.cli.made import dicom
from tests.dev.cli.test_command import COMMANDS
from tests.edits.exporting import destination
from tests.support import pages
from tests.support.azurite import running_azurite
from tests.support.files import shipped_file
from tests.support.served import served
from tests.support.storage import fresh_account

WHERE = "docs/command-line.md"
PAGE = pages.text_of(WHERE)
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ANY_ID = re.compile(r"\b(?!0{32})[0-9a-f]{32}\b")
AN_ID = "0f8fad5bd9cb469fa16570867728950e"


def folders(root):
    """What the page stores and imports."""
    (root / "scans" / "2026").mkdir(parents=True)
    (root / "slides").mkdir()
    shutil.copy(shipped_file("CT_small.dcm"), root / "scans")
    shutil.copy(shipped_file("rtdose_expb_1frame.dcm"), root / "scans" / "2026" / "dose.dcm")
    shutil.copy(shipped_file("MR_small.dcm"), root / "slides")
    (root / "scans" / "2026" / "cut.dcm").write_bytes(shipped_file("CT_small.dcm").read_bytes()[:9000])
    (root / "scans" / "notes.txt").write_text("not for the service")


def rerun(page, run):
    """The page with what its commands print now."""

    def block(found):
        commands = [line for line in found[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(f"{line}\n{run(line[2:])}" for line in commands) + "```"

    return BLOCK.sub(block, page)


async def pages_now(root, monkeypatch):
    """The page, from a service that nobody else uses."""
    folders(root)
    monkeypatch.chdir(root)
    storage = running_azurite().connection_string
    account = fresh_account(storage)
    settings = {"DICOM_STORAGE": account, "AzureWebJobsStorage": account}
    async with served(settings) as service, destination(storage) as out:
        where = f"{out.url}?{out.sas()}"
        environment = {"DICOM_URL": service.url, "DICOM_STORAGE": account, "DICOM_EXPORT_TO": where}
        ids = [AN_ID]

        def run(line):
            words = shlex.split(line.replace("http://localhost:7071", service.url))
            assert words.pop(0) == "dicom"
            ran = dicom(*(ids[-1] if word == AN_ID else word for word in words), environment=environment)
            assert out.sas() not in ran.both
            ids.extend(ANY_ID.findall(ran.both))
            text = ran.both.replace(service.url, "http://localhost:7071").replace(out.url, "https://a.example/research")
            text = ANY_ID.sub(AN_ID, text)
            return text + (f"(exit code {ran.code})\n" if ran.code else "")

        return await asyncio.to_thread(rerun, PAGE, run)


@pytest.mark.azurite
@pytest.mark.served
async def test_every_transcript_is_what_the_command_prints(tmp_path, monkeypatch):
    assert await pages_now(tmp_path, monkeypatch) == PAGE


def options(parser):
    return {text for action in parser._actions for text in action.option_strings if text.startswith("--")}


def test_the_page_names_every_command_and_every_option_it_names_exists():
    for name in COMMANDS:
        assert re.search(rf"\b{name.split()[0]}\b", PAGE), name
    existing = {"--help"}.union(*map(options, COMMANDS.values()))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert named <= existing


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_word_of_help(name):
    for action in COMMANDS[name]._actions:
        assert action.help or action.metavar or isinstance(action, argparse._HelpAction), action
