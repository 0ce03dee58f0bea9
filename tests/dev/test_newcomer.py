"""README from its begin: a copy of these sources, `make run`, every command of the page, Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from shared.dev import ports
from tests.dev.test_run import read_until
from tests.served import test_pages
from tests.support import pages
from tests.support.nursery import own_environment
from tests.support.served import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.served, pytest.mark.azurite]

LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv", "node_modules", "build", "dist", ".azurite", "local.settings.json", "__pycache__", ".*_cache")
)
INSTALLED = (".venv/installed.stamp", "node_modules/installed.stamp")


@pytest.fixture
def fresh(tmp_path):
    """The sources as they are cloned, in a folder with a space in its name; what `make setup` installs is there."""
    folder = tmp_path / "a fresh copy"
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT, symlinks=True)
    for name in (".venv", "node_modules"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "tmp").mkdir()
    shutil.copy(test_pages.curl_settings(tmp_path), folder)
    return folder


def test_a_newcomer_gets_what_readme_says(fresh):
    (port,) = ports.free_ports(1)
    (line,) = (line for block in pages.marked("make") for line in block.commands if line.startswith("make run  "))
    # What is installed counts as fresh; all else is as it is typed.
    make = ["make", *(word for stamp in INSTALLED for word in ("-o", stamp)), line.split()[1], f"PORT={port}"]
    process = subprocess.Popen(
        make,
        cwd=fresh,
        env=own_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    try:
        printed = read_until(process, "Store a file:")
        assert "Made local.settings.json from local.settings.sample.json." in printed
        said = test_pages.typed("README.md", f"http://localhost:{port}", fresh)
        test_pages.expect_a_newcomers_results(said, fresh / "tmp")
        # Ctrl-C is for everybody on the terminal.
        os.killpg(process.pid, signal.SIGINT)
        assert "Stopped." in process.stdout.read()
        process.wait(30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        process.stdout.close()
    assert Path(fresh, ".azurite").is_dir()
    assert not ports.answers(port)
