"""Every operation of every version, called with what its own document allows and forbids, by schemathesis.

Whatever comes, the answer is one that the document names, and none is a fault of the service.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

from tests.support import fuzzing
from tests.support.nursery import own_environment
from tests.support.served import ROOT, served
from tests.support.storage import fresh_account
from tests.support.versions import LABELS

pytestmark = [pytest.mark.azurite, pytest.mark.served, pytest.mark.slow]

EXAMPLES = 25
SECONDS = 1200


async def fuzz(folder: Path, url: str, label: str, *choice: str) -> None:
    command = ["run", f"{url}/{label}/api.json", "--url", url, *choice]
    command += ["--checks", "not_a_server_error,status_code_conformance", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", str(EXAMPLES), "--request-timeout", "30", "--continue-on-failure", "--no-color"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", *command),
        cwd=folder,  # it keeps what it found beside it
        env={**own_environment(), "SCHEMATHESIS_HOOKS": "tests.support.fuzzing", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode(errors="replace")[-8000:]


@pytest.mark.parametrize("label", LABELS)
async def test_all_answers_are_documented_and_none_is_a_fault(azurite, label, tmp_path):
    async with served({"DICOM_STORAGE": fresh_account(azurite.connection_string)}) as running:
        await asyncio.to_thread(fuzzing.store, f"{running.url}/{label}/studies")
        await fuzz(tmp_path, running.url, label, "--exclude-path-regex", "/partitions/")
        await still_well(running.url)


@pytest.mark.parametrize("label", LABELS[-1:])
async def test_all_answers_are_documented_below_partitions(azurite, label, tmp_path):
    settings = {"DICOM_STORAGE": fresh_account(azurite.connection_string), "DICOM_DATA_PARTITIONS": "on"}
    async with served(settings) as running:
        await asyncio.to_thread(fuzzing.store, f"{running.url}/{label}/partitions/Microsoft.Default/studies")
        await fuzz(tmp_path, running.url, label, "--include-path-regex", "/partitions")
        await still_well(running.url)


async def still_well(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        assert (await client.get("/health/ready")).status_code == 200
