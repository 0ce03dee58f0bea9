"""The life of a version, in a copy of these sources: made, tested, promoted; another one deprecated and retired."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from shared.dev.host.settings import environment
from tests.dev.contract.gate_made import commit, git
from tests.support.clients import DICOM_JSON, made, store, stored_items
from tests.support.served import ROOT, started
from tests.support.storage import fresh_account
from tests.support.versions import SUPPORTED

pytestmark = [pytest.mark.slow, pytest.mark.served, pytest.mark.azurite]

FILES = ("function_app.py", "host.json", "local.settings.sample.json", "pyproject.toml", "CHANGELOG.md", "Makefile")
FOLDERS = ("shared", "versions", "tests", "docs")
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")
LINK = "https://docs.example/v1-retires"
TODAY = datetime.now(UTC).date()
SUNSET = TODAY + timedelta(days=400)
NEW = "v3.0-prerelease"


class Sources:
    """A copy of the sources with a history of its own."""

    def __init__(self, root):
        self.root = root
        for name in FILES:
            shutil.copy(ROOT / name, root)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, root / name, ignore=LEFT_OUT)
        (root / "node_modules").symlink_to(ROOT / "node_modules")
        (root / ".gitignore").write_text("node_modules\n__pycache__\n.*\n", encoding="utf-8")
        # The history of the copy begins here: nothing in it is broken yet.
        (root / "versions" / "accepted-breaks.yaml").write_text("accepted: []\n", encoding="utf-8")
        self.python("shared.dev.contract", "accept", "--no-golden")
        git(root, "init", "--quiet")
        self.land()

    def python(self, module, *arguments, code=0):
        """What a module of the copy prints, run as a command."""
        own = {name: value for name, value in environment().items() if not name.startswith(("GIT_", "DICOM_"))}
        run = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        assert run.returncode == code, run.stdout[-8000:]
        return run.stdout

    def versions(self, *arguments, **options):
        return self.python("shared.dev.versions", *arguments, **options)

    def gate(self, today, *more, code=0):
        return self.python("shared.dev.contract", "check", "--today", str(today), *more, code=code)

    def tests(self, *arguments):
        return self.python("pytest", "-q", "-p", "no:cacheprovider", *arguments)

    def land(self, day=TODAY):
        commit(self.root, day=str(day))

    def ask(self, azurite, work):
        """What comes of calls to the app of the copy."""

        async def run(url):
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                return await work(client)

        with started({"DICOM_STORAGE": fresh_account(azurite.connection_string)}, self.root) as service:
            return asyncio.run(run(service.url))


def root_of(client):
    return str(client.base_url).rstrip("/")


async def expect_new(client):
    """The new version stores, finds and retrieves under its spellings, and its neighbours name it."""
    one = made()
    stored = await store(client, f"/{NEW}", [one.content])
    (item,) = stored_items(stored.json())
    assert item["00081190"]["Value"] == [f"{root_of(client)}/{NEW}{one.path}"]
    for spelling in (NEW, "v3-prerelease", "V3.0-PRERELEASE"):
        query = {"StudyInstanceUID": one.study_uid}
        answer = await client.get(f"/{spelling}/studies", params=query, headers={"Accept": DICOM_JSON})
        assert [each["0020000D"]["Value"] for each in answer.json()] == [[one.study_uid]]
        assert (await client.get(f"/{spelling}{one.path}")).status_code == 200
    answer = await client.get("/v2/studies", headers={"Accept": DICOM_JSON})
    assert answer.headers["api-supported-versions"] == f"{SUPPORTED}, 3.0-prerelease"
    assert (await client.get("/v3/studies")).status_code == 400


async def expect_end(client):
    """Version 1 says that it goes, with the headers that the command told of; the promoted one is there."""
    answer = await client.get("/v1/studies", headers={"Accept": DICOM_JSON})
    assert answer.headers["api-deprecated-versions"] == "1"
    assert {"deprecation", "sunset", "link", "warning"} <= set(answer.headers)
    assert "3" in (await client.get("/v3/studies")).headers["api-supported-versions"].split(", ")
    return {name: answer.headers[name] for name in ("deprecation", "sunset", "warning")}


async def expect_gone(client):
    for spelling in ("v1", "V1.0"):
        answer = await client.get(f"/{spelling}/studies")
        assert answer.status_code == 410
        assert answer.links["successor-version"]["url"] == f"{root_of(client)}/v2/api.yaml"
        assert answer.links["sunset"]["url"] == LINK
    named = (await client.get("/v2/studies")).headers["api-supported-versions"].split(", ")
    assert ("1" in named, "3" in named) == (False, True)


def test_a_version_is_made_promoted_and_another_one_goes(azurite, tmp_path):
    root = tmp_path / "sources"
    root.mkdir()
    sources = Sources(root)
    expect_made(sources, azurite)
    expect_promoted(sources)
    expect_deprecated(sources, azurite)
    expect_retired(sources, azurite)


def expect_made(sources, azurite):
    said = sources.versions("new", "--from=v2", f"--name={NEW}")
    assert "make contract-accept" in said
    assert (sources.root / "tests" / "golden" / NEW).is_dir()
    assert f"INFO {NEW} [version-unknown] it is new" in sources.gate(TODAY)
    sources.ask(azurite, expect_new)
    every = sources.tests("tests/served", "tests/api", "--collect-only", "-m", "not slow")
    for file in ("test_store", "test_search", "test_versions", "test_change_feed", "test_retrieve", "test_metadata"):
        assert any(line.startswith(f"tests/served/{file}.py") and NEW in line for line in every.splitlines()), file
    sources.tests("tests/served/test_versions.py", "tests/served/test_store.py", "-k", f"{NEW} or headers")
    sources.tests("tests/api/test_routes.py", "tests/api/test_manifest.py", "tests/contract/test_versions_readme.py")
    sources.land()


def expect_promoted(sources):
    sources.versions("new", f"--from={NEW}", "--name=v3", "--no-golden")
    assert "INFO v3 [version-unknown] it is new" in sources.gate(TODAY, "--no-golden")
    sources.land()


def expect_deprecated(sources, azurite):
    asked = ("--version=v1", "--successor=v2", f"--read-more={LINK}")
    short = TODAY + timedelta(days=364)
    assert "[notice-too-short]" in sources.versions("deprecate", f"--sunset={short}", *asked, code=1)
    said = sources.versions("deprecate", f"--sunset={SUNSET}", *asked)
    sources.gate(TODAY, "--no-golden")
    for value in sources.ask(azurite, expect_end).values():
        assert value in said
    sources.land()


def expect_retired(sources, azurite):
    retire = ("retire", "--version=v1", "--today")
    early = sources.versions(*retire, str(SUNSET - timedelta(days=1)), code=1)
    assert "cannot be gone before its sunset" in early
    sources.versions(*retire, str(SUNSET))
    assert "[version-removed-before-sunset]" in sources.gate(SUNSET - timedelta(days=1), "--no-golden", code=1)
    sources.gate(SUNSET, "--no-golden")
    sources.ask(azurite, expect_gone)
    listed = {line.split()[0]: line for line in sources.versions("list").splitlines()}
    assert f"gone {SUNSET}" in listed["v1"]
    sources.tests("tests/contract/test_versions_readme.py", "tests/api/test_lineup.py", "tests/api/test_lifecycle.py")
