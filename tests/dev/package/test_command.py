"""`make package`: what is in the zip, and that it is always the same."""

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from shared.dev import lock
from shared.dev.package import archive as package_zip
from shared.dev.package import bytecode
from shared.dev.package import command as package
from shared.dev.package import wheels as package_wheels
from shared.dev.package.command import Means
from shared.dev.package.files import PackageError
from shared.dev.package.wheels import SITE_PACKAGES, Target
from tests.dev.package import made
from tests.support.served import ROOT

AS_DEPLOYED = Target(package.DEPLOYED_PYTHON)


@pytest.fixture
def app(tmp_path):
    return made.app(tmp_path / "app")


@pytest.fixture
def cache(tmp_path):
    """A folder of wheels that holds what a lock may name."""
    folder = tmp_path / "wheels" / AS_DEPLOYED.name
    folder.mkdir(parents=True)
    return folder


def pinned(app, *wheels, **markers):
    (app / "requirements.txt").write_text(made.lock_of(wheels, markers))


def built(app, tmp_path, output="dist", **options):
    means = Means(tmp_path / "wheels", **{"offline": True, **options})
    return package.build(app, AS_DEPLOYED, tmp_path / output, means)


@pytest.mark.parametrize(("python", "functions"), [("3.11", "1."), ("3.12", "1."), ("3.13", "2."), ("3.14", "2.")])
def test_the_lock_is_read_for_the_interpreter_that_is_packaged_for(python, functions):
    found = package_wheels.required((ROOT / lock.RUNTIME).read_text(), Target(python))
    versions = {each.name: each.version for each in found}
    assert len(found) == len(versions)
    assert versions["azure-functions"].startswith(functions)
    assert ("azure-functions-runtime" in versions) == (functions == "2.")


def test_no_package_for_development_is_in_it():
    pins = {each.name for each in package_wheels.required((ROOT / lock.RUNTIME).read_text(), AS_DEPLOYED)}
    project = lock.read_project(ROOT)
    named = {re.split(r"[^A-Za-z0-9._-]", text)[0] for text in project["dependency-groups"]["dev"]}
    direct = {re.split(r"[^A-Za-z0-9._-]", text)[0] for text in project["project"]["dependencies"]}
    assert pins & {canonicalize_name(each) for each in named - direct} == set()


def test_pip_fetches_what_fits_and_a_second_build_needs_no_network(app, tmp_path, monkeypatch):
    house = tmp_path / "registry"
    wheels = [
        made.wheel(house, "plain", {"plain/__init__.py": "", "plain-1.0.data/scripts/plain": "#!python"}),
        made.wheel(house, "fast", {"fast.py": "here"}, "cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64"),
        made.wheel(house, "fast", {"fast.py": "elsewhere"}, "cp312-cp312-manylinux_2_17_x86_64"),
        made.wheel(house, "stable", {"stable.py": "", "stable.pyc": ""}, "cp311-abi3-manylinux_2_28_x86_64"),
        made.wheel(house, "old", {"old.py": ""}),
    ]
    pinned(app, *wheels, old="python_full_version < '3.12'")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(house))
    first = built(app, tmp_path, "first", offline=False)
    for path in wheels:
        path.unlink()
    second = built(app, tmp_path, "second", offline=False)

    assert first.path.read_bytes() == second.path.read_bytes()
    inside = made.names_in(first.path)
    assert [name for name in inside if not name.startswith(SITE_PACKAGES)] == made.DEPLOYED
    packages = {name.removeprefix(f"{SITE_PACKAGES}/") for name in inside if name.startswith(SITE_PACKAGES)}
    assert {name for name in packages if ".dist-info/" not in name} == {"plain/__init__.py", "fast.py", "stable.py"}
    with zipfile.ZipFile(first.path) as archive:
        assert archive.read(f"{SITE_PACKAGES}/fast.py") == b"here"
    assert {each.name for each in first.wheels} == {"plain", "fast", "stable"}


def test_the_same_files_make_the_same_bytes_whenever_they_were_written(app, cache, tmp_path):
    pinned(app, made.wheel(cache, "plain", {"plain.py": ""}))
    first = built(app, tmp_path, "first")
    other = made.app(tmp_path / "other", dict(reversed(made.FILES.items())))
    (other / "requirements.txt").write_text((app / "requirements.txt").read_text())
    for path in other.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    second = built(other, tmp_path, "second")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.contents == second.contents
    (other / "host.json").write_text('{"version": "2.0"}')
    third = built(other, tmp_path, "third")
    assert third.sha256 != first.sha256
    assert third.contents != first.contents


def test_the_checksum_beside_it_is_that_of_the_zip(app, cache, tmp_path):
    pinned(app, made.wheel(cache, "plain", {"plain.py": ""}))
    path = built(app, tmp_path).path
    assert path.name == "small-app-1.2-cp313-linux-x86_64.zip"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (tmp_path / "dist" / f"{path.name}.sha256").read_text() == f"{digest}  {path.name}\n"
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, f"{path.name}.sha256"]


def test_a_wheel_with_other_bytes_than_the_lock_names_is_not_taken(app, cache, tmp_path):
    pinned(app, made.wheel(cache, "plain", {"plain.py": "as it was"}))
    made.wheel(cache, "plain", {"plain.py": "changed"})
    with pytest.raises(PackageError, match="no wheel of plain"):
        built(app, tmp_path)


def test_a_wheel_that_nobody_has_is_told_with_the_words_of_pip(app, cache, tmp_path, monkeypatch):
    path = made.wheel(cache, "nowhere-to-be-had".replace("-", "_"), {"nowhere.py": ""})
    pinned(app, path)
    path.unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(PackageError, match=r"pip could not fetch.*\n.*nowhere"):
        built(app, tmp_path, offline=False)


def test_a_pin_without_a_hash_is_refused():
    with pytest.raises(PackageError, match="plain: the lock has no hash"):
        package_wheels.required("plain==1.0\n", AS_DEPLOYED)


@pytest.mark.parametrize("place", ["shared/__init__.py", "function_app.py", "versions/v1.yaml"])
def test_a_package_that_would_hide_the_app_is_refused(app, cache, tmp_path, place):
    pinned(app, made.wheel(cache, "rude", {place: ""}))
    with pytest.raises(PackageError, match=r"rude brings .*, which would hide the app's own"):
        built(app, tmp_path)


def test_two_packages_may_share_a_file_but_not_a_name(app, cache, tmp_path):
    one = made.wheel(cache, "one", {"space/__init__.py": "same", "space/one.py": ""})
    pinned(app, one, made.wheel(cache, "two", {"space/__init__.py": "same"}))
    assert made.names_in(built(app, tmp_path).path).count(f"{SITE_PACKAGES}/space/__init__.py") == 1
    pinned(app, one, made.wheel(cache, "two", {"space/__init__.py": "other"}))
    with pytest.raises(PackageError, match=r"two and one both bring space/__init__\.py"):
        built(app, tmp_path)


@pytest.mark.parametrize("place", ["../outside.py", "/outside.py", "here/../../outside.py"])
def test_a_wheel_cannot_write_outside_of_its_folder(app, cache, tmp_path, place):
    pinned(app, made.wheel(cache, "rude", {place: ""}))
    with pytest.raises(PackageError, match="outside of itself"):
        built(app, tmp_path)


def test_bytecode_is_what_the_interpreter_runs_and_always_the_same(app, tmp_path):
    here = Target(".".join(str(part) for part in sys.version_info[:2]))
    door = Path("shared/api/door.py")
    (app / door).write_text("raise SystemExit('as it was packed')\n")
    files = {"plain.py": "ONE = 1\n", "plain/tests/one.py": "", "broken.py": "one two three"}
    pinned(app, made.wheel(tmp_path / "wheels" / here.name, "plain", files))
    means = Means(tmp_path / "wheels", offline=True, bytecode=sys.executable)
    first, second = (package.build(app, here, tmp_path / output, means) for output in ("first", "second"))
    assert first.path.read_bytes() == second.path.read_bytes()

    package_zip.unpack(first.path, tmp_path / "unpacked")
    made_of = {bytecode.source_of(name) for name in made.names_in(first.path) if name.endswith(".pyc")}
    modules = {name for name in made.DEPLOYED if name.endswith(".py")}
    assert made_of == modules | {f"{SITE_PACKAGES}/plain.py"}
    assert not [path for path in tmp_path.rglob("unpacked/**/*.pyc") if str(tmp_path).encode() in path.read_bytes()]
    (tmp_path / "unpacked" / door).write_text("raise SystemExit('compiled anew')\n")
    script = f"import sys; sys.path.append({str(tmp_path / 'unpacked')!r}); import shared.api.door"
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.stderr.strip() == "as it was packed"


def test_bytecode_of_another_version_is_refused(app, tmp_path, cache):
    pinned(app, made.wheel(cache, "plain", {"plain.py": ""}))
    with pytest.raises(PackageError, match=r"is cpython 3 \d+, and makes no bytecode for Python 3\.99"):
        bytecode.compiled({}, Target("3.99"), sys.executable)
    with pytest.raises(PackageError, match="nowhere/python cannot be run"):
        built(app, tmp_path, bytecode="nowhere/python")


def test_the_command_tells_sizes_and_keeps_the_document_for_what_is_deployed(app, cache, tmp_path, capsys):
    pinned(app, made.wheel(cache, "plain", {"plain.py": ""}))
    document = app / package.DOCUMENT
    document.parent.mkdir()
    document.write_text("<!-- sizes -->\n<!-- end of sizes -->\n")
    places = ["--root", str(app), "--output", str(tmp_path / "dist"), "--wheels", str(cache.parent), "--offline"]
    assert package.main(places) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^  plain +0\.0 +0\.0$", printed, re.MULTILINE)
    assert "tells other sizes" in printed
    assert package.main([*places, "--write-table"]) == 0
    assert "| the app itself | 0.0 | 0.0 |" in document.read_text()
    capsys.readouterr()
    assert package.main(places) == 0
    assert "tells other sizes" not in capsys.readouterr().out
    assert package.main([*places, "--bytecode", "nowhere/python"]) == 1
    assert "make package: nowhere/python cannot be run" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["3.9", "4.0", "3.13.1", "three", "../3.13", ""])
def test_a_version_that_is_none_to_package_for_is_told(version, capsys):
    assert package.main([f"--python-version={version}"]) == 1
    assert "no version of Python to package for" in capsys.readouterr().err


def test_unpacking_throws_nothing_away_but_an_older_package(app, cache, tmp_path):
    pinned(app, made.wheel(cache, "plain", {"plain.py": ""}))
    path = built(app, tmp_path).path
    folder = tmp_path / "unpacked"
    package_zip.unpack(path, folder)
    (folder / "older.py").write_text("")
    package_zip.unpack(path, folder)
    assert sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()) == sorted(
        made.names_in(path)
    )
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(PackageError, match="is no unpacked package"):
        package_zip.unpack(path, precious)
    assert (precious / "thesis.txt").exists()
