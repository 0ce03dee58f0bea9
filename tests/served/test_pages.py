"""Commands of the pages for a running service, in a shell, as somebody types them who copies them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys

import pytest

from tests.dev.cli.made import dicom
from tests.support import documents, pages
from tests.support.files import shipped_file
from tests.support.nursery import own_environment
from tests.support.served import ROOT, started
from tests.support.storage import fresh_account

pytestmark = [pytest.mark.azurite, pytest.mark.served]

BLOCKS = {page: [block for block in pages.marked("served") if block.page == page] for page in pages.names()}
QUICK = [page for page, found in BLOCKS.items() if found and not any("slow" in block.marks for block in found)]
SLOW = [page for page, found in BLOCKS.items() if any("slow" in block.marks for block in found)]


@contextlib.contextmanager
def own_service(azurite):
    """A service that nobody else uses, as `make run` starts it."""
    account = fresh_account(azurite.connection_string)
    with started({"DICOM_STORAGE": account, "AzureWebJobsStorage": account}) as running:
        yield running


@pytest.fixture(scope="module")
def service(azurite):
    """One for all pages: each is followed from its begin to its end."""
    with own_service(azurite) as running:
        yield running


@pytest.fixture
def checkout(tmp_path):
    """A folder with a space in its name and what the commands need of a checkout."""
    folder = tmp_path / "a checkout"
    (folder / "tmp").mkdir(parents=True)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "shared").symlink_to(ROOT / "shared")
    curl_settings(folder)
    return folder


def curl_settings(folder):
    """The file by which a status of 400 or more ends curl with a code, and proxies are not asked."""
    path = folder / ".curlrc"
    path.write_text('fail-with-body\nno-progress-meter\nnoproxy = "*"\n')
    return path


def typed(page, url, folder):
    """Everything that the commands of a page print; one that fails is a failure."""

    def here(text):
        return text.replace(pages.BASE_URL, url).replace("/tmp/", "tmp/")

    for block in pages.blocks(page):
        if block.file:
            (folder / block.file).write_text(here(block.text))
    script = folder / "commands.sh"
    script.write_text(here("".join(block.text for block in BLOCKS[page])))
    own = {**own_environment(), "CURL_HOME": str(folder), "DICOM_URL": url}
    ran = subprocess.run(
        ["/bin/sh", "-e", str(script)],
        cwd=folder,
        env=own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    return ran.stdout


@pytest.mark.parametrize("page", QUICK)
def test_commands_for_a_running_service_do_what_their_page_says(page, service, checkout):
    printed = typed(page, service.url, checkout)
    assert printed
    if page == "README.md":
        expect_a_newcomers_results(printed, checkout / "tmp")


def expect_a_newcomers_results(printed, folder):
    """What README gets: the study is found, and files have in them what it says."""
    content = shipped_file("CT_small.dcm").read_bytes()
    assert "1CT1" in printed
    assert content in (folder / "study.multipart").read_bytes()
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert "openapi: 3.0" in (folder / "api.yaml").read_text()
    assert [path.read_bytes() for path in (folder / "downloads").rglob("*.dcm")] == [content]


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_longer_commands_for_a_running_service_do_what_their_page_says(page, azurite, checkout):
    with own_service(azurite) as service:
        assert dicom("store", shipped_file("CT_small.dcm"), "--url", service.url).code == 0
        assert "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322" in typed(page, service.url, checkout)


def test_the_workitem_of_its_page_is_the_example_of_the_documents():
    (written,) = (json.loads(block.text) for block in pages.blocks("docs/worklist.md") if block.file == "workitem.json")
    for document in documents.documents().values():
        content = documents.by_id(document)["createWorkitem"].node["requestBody"]["content"]["application/dicom+json"]
        assert documents.examples_of(document, content) == [written]


def test_pages_have_commands_for_a_running_service():
    assert "README.md" in QUICK
    assert SLOW
