"""The local host on an unpacked package: it finds what was packed and nothing else, and serves from it."""

import contextlib
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import httpx
import pytest
from packaging.utils import canonicalize_name
from pydicom.data import get_testdata_file

from shared.dev import lock, ports, run
from shared.dev.package import archive, files, host, wheels
from shared.dev.package import command as package
from shared.dev.package.command import Means
from shared.dev.package.wheels import SITE_PACKAGES, Target
from shared.dev.processes import Child, Guard
from tests.dev.package import made
from tests.support.azurite import running_azurite
from tests.support.nursery import own_environment
from tests.support.served import ROOT
from tests.support.storage import fresh_account

AS_DEPLOYED = Target(package.DEPLOYED_PYTHON)
WHEELS = ROOT / "build" / "wheels"


@pytest.fixture
def app(tmp_path):
    return made.app(tmp_path / "app")


def test_a_host_that_is_not_sealed_does_not_start(tmp_path):
    ended = subprocess.run(
        [sys.executable, host.__file__, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert "python -I -S" in ended.stderr


def test_a_sealed_host_finds_no_package_of_this_machine(app, tmp_path):
    ended = subprocess.run(
        [*host.command(app), "--port", "0"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert "No module named 'uvicorn'" in ended.stderr
    assert str(ROOT / "shared" / "dev" / "host" / "command.py") in ended.stderr


@contextlib.contextmanager
def served(folder):
    """The base address of a sealed host on an unpacked package."""
    storage = fresh_account(running_azurite().connection_string)
    environment = {**own_environment(), "AzureWebJobsStorage": storage, "DICOM_STORAGE": storage}
    options = ["--brief", "--port", "0", "--settings", str(ROOT / "local.settings.sample.json")]
    process = Child("the host of the package", [*host.command(folder), *options], environment, folder=folder)
    guard = Guard(own_environment())
    guard.watch(process.pid)
    try:
        deadline = time.monotonic() + 90
        while not (found := re.search(r"^Base URL: http://localhost:(\d+)$", process.last_lines(), re.MULTILINE)):
            assert process.exit_code() is None, process.last_lines()
            assert time.monotonic() < deadline, process.last_lines()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.stop(15)
        guard.dismiss()


def expect_serves(folder):
    """Store a file, get it back, look at its picture: storage, search of codecs, pages."""
    with served(folder) as url, httpx.Client(base_url=url, timeout=60) as client:
        content = Path(str(get_testdata_file("JPEG2000.dcm"))).read_bytes()
        headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
        stored = client.post("/v2/studies", content=content, headers=headers)
        assert stored.status_code == 200, stored.text
        place = httpx.URL(stored.json()["00081199"]["Value"][0]["00081190"]["Value"][0]).path
        fetched = client.get(place, headers={"Accept": "application/dicom; transfer-syntax=*"})
        assert fetched.content == content
        picture = client.get(f"{place}/rendered", headers={"Accept": "image/png"})
        assert picture.content.startswith(b"\x89PNG")
        for page in ("/health/ready", "/v2/api.yaml", "/v2/docs", "/v2/conformance", "/versions"):
            assert client.get(page).status_code == 200, page


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An unpacked package without a registry: with the packages that are installed here."""
    folder = tmp_path_factory.mktemp("small")
    archive.write(folder / "app.zip", files.contents(ROOT))
    archive.unpack(folder / "app.zip", folder / "unpacked")
    packages = folder / "unpacked" / SITE_PACKAGES
    packages.parent.mkdir(parents=True)
    packages.symlink_to(sysconfig.get_path("purelib"))
    return folder / "unpacked"


@pytest.mark.slow
@pytest.mark.azurite
def test_the_files_that_are_deployed_are_all_that_the_app_needs_of_this_tree(small):
    expect_serves(small)


@pytest.mark.slow
@pytest.mark.azurite
def test_run_serves_a_package_where_it_is_told_to(small, tmp_path):
    (port,) = ports.free_ports(1)
    command = [sys.executable, "-u", "-m", "shared.dev.run", "--package", str(small), "--port", str(port)]
    process = Child("make run-package", [*command, "--data", str(tmp_path / "data")], own_environment())
    try:
        until = time.monotonic() + 90
        while "Ready: " not in process.last_lines():
            assert process.exit_code() is None, process.last_lines()
            assert time.monotonic() < until, process.last_lines()
            time.sleep(0.1)
        assert run.status_of(port, "/health/ready") == 200
    finally:
        process.stop(30)
    assert "Stopped." in process.last_lines()


@pytest.mark.slow
@pytest.mark.azurite
def test_run_does_not_find_in_the_tree_what_a_package_lacks(small, tmp_path):
    lacking = shutil.copytree(small, tmp_path / "lacking", symlinks=True)
    (lacking / "shared" / "settings.py").unlink()
    (port,) = ports.free_ports(1)
    command = [sys.executable, "-m", "shared.dev.run", "--package", str(lacking), "--port", str(port)]
    ended = subprocess.run(
        [*command, "--data", str(tmp_path / "data")],
        cwd=ROOT,
        env=own_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 1
    assert "No module named 'shared.settings'" in ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.azurite
def test_the_package_serves_from_where_it_is_unpacked(tmp_path):
    """With wheels of this interpreter; they are fetched once and kept in build/wheels."""
    places = ["--output", str(tmp_path), "--unpack", str(tmp_path / "unpacked"), "--wheels", str(WHEELS)]
    assert package.main(["--python-version", package.HERE, "--bytecode", sys.executable, *places]) == 0
    expect_serves(tmp_path / "unpacked")


@pytest.mark.slow
def test_the_package_that_is_deployed_is_of_one_interpreter_and_of_the_lock(tmp_path):
    found = package.build(ROOT, AS_DEPLOYED, tmp_path / "first", Means(WHEELS))
    inside = made.names_in(found.path)
    libraries = [name for name in inside if name.endswith("-x86_64-linux-gnu.so")]
    assert len(libraries) > 20
    assert [name for name in libraries if ".cpython-313-" not in name] == []
    pins = wheels.required((ROOT / lock.RUNTIME).read_text(), AS_DEPLOYED)
    infos = [Path(name).parent.name for name in inside if name.endswith(".dist-info/METADATA")]
    assert sorted(canonicalize_name(each.split("-")[0]) for each in infos) == sorted(pin.name for pin in pins)
    again = package.build(ROOT, AS_DEPLOYED, tmp_path / "second", Means(WHEELS, offline=True))
    assert again.sha256 == found.sha256
