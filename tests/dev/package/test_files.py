"""What is deployed of this tree, and that it can stand without the rest."""

import re
import subprocess

import pytest

from shared.dev.package import files as package_files
from shared.dev.package.files import PackageError
from tests.dev.package import made
from tests.support.served import ROOT


@pytest.fixture
def app(tmp_path):
    return made.app(tmp_path / "app")


def test_the_service_is_deployed_without_tools_tests_and_baselines():
    files = package_files.select(ROOT)
    assert {"function_app.py", "host.json", "versions/v2.yaml", "versions/shapes.yaml"} <= set(files)
    rooms = {path.relative_to(ROOT).as_posix() for path in (ROOT / "shared").glob("*/handlers.py")}
    assert len(rooms) > 5
    assert rooms <= set(files)
    wrong = re.compile(r"^shared/dev/|^tests/|^docs/|^infra/|baselines|\.md$|\.pyc$|local\.settings|requirements-dev")
    assert [name for name in files if wrong.search(name)] == []


def test_nothing_that_is_deployed_imports_what_is_not():
    files = package_files.contents(ROOT)
    assert sum(name.endswith(".py") for name in files) > 100
    storage = {name: content for name, content in files.items() if name.startswith("shared/storage/")}
    del storage["shared/storage/blobs.py"]
    assert any(fault.endswith(": shared.storage.blobs") for fault in package_files.imported_but_left_out(storage))


def test_core_tools_would_deploy_the_same_files():
    """They know `.funcignore` only, and take all that it does not name."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    there = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    ignored = package_files.ignored_by(ROOT)
    assert {name for name in there if not ignored.match_file(name)} <= set(package_files.select(ROOT))


def test_only_the_app_is_selected(app):
    assert list(package_files.select(app)) == made.DEPLOYED


@pytest.mark.parametrize("missing", ["host.json", "versions/v1.yaml", ".funcignore"])
def test_a_folder_without_an_app_is_refused(app, missing):
    (app / missing).unlink()
    if missing.startswith("versions"):
        (app / "versions" / "baselines" / "v1.yaml").unlink()
        (app / "versions" / "baselines").rmdir()
        (app / "versions").rmdir()
    with pytest.raises(PackageError, match=missing.split("/")[0]):
        package_files.select(app)


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("import shared.dev.host", "shared.dev.host"),
        ("from shared.dev.host.command import Host", "shared.dev.host.command"),
        ("from shared.dev import host", "shared.dev"),
        ("from shared import dev", "shared.dev"),
        ("def later():\n    from shared.dev import host", "shared.dev"),
        ("from tests.support import served", "tests.support"),
        ("from shared.api import window", "shared.api.window"),
    ],
)
def test_an_import_of_what_is_not_deployed_is_named_with_its_place(app, line, module):
    (app / "shared" / "api" / "door.py").write_text(line)
    with pytest.raises(PackageError, match=rf"shared/api/door\.py:\d+: {re.escape(module)}$"):
        package_files.contents(app)


@pytest.mark.parametrize("line", ["import json", "from shared import api", "from shared.api.door import anything"])
def test_an_import_of_what_is_deployed_is_none_of_those(app, line):
    (app / "function_app.py").write_text(line)
    assert list(package_files.contents(app)) == made.DEPLOYED
