"""The locks are what pyproject.toml asks for, the two agree, and this environment is what they pin. No network."""

import importlib.metadata
import re

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from shared.dev import lock
from tests.support.served import ROOT

TEXTS = {name: (ROOT / name).read_text() for name in (lock.RUNTIME, lock.DEVELOPMENT)}
PROJECT = lock.read_project(ROOT)


def applies(marker, environment=None):
    return not marker or Marker(str(marker)).evaluate(environment)


def wanted(name):
    requirements = list(PROJECT["project"]["dependencies"])
    if name == lock.DEVELOPMENT:
        requirements += PROJECT["dependency-groups"]["dev"]
    return [Requirement(text) for text in requirements]


@pytest.mark.parametrize("name", TEXTS)
def test_a_lock_was_made_for_the_dependencies_as_they_are(name):
    assert lock.recorded_digest(TEXTS[name]) == lock.digest(PROJECT), "run `make lock`"


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("name", TEXTS)
def test_every_requirement_has_one_pin_within_its_limits(name, python):
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    pins = {}
    for pin in lock.pins(TEXTS[name]):
        if applies(pin.marker, environment):
            assert pin.name not in pins, f"{pin.name} is pinned twice"
            pins[pin.name] = pin.version
    for requirement in wanted(name):
        if applies(requirement.marker, environment):
            version = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version, prereleases=True), requirement


def test_the_development_lock_holds_every_pin_of_the_other():
    """What is tested is what is deployed."""
    assert set(lock.pins(TEXTS[lock.RUNTIME])) <= set(lock.pins(TEXTS[lock.DEVELOPMENT]))


@pytest.mark.parametrize("name", TEXTS)
def test_every_pin_has_hashes_and_no_place_is_named(name):
    for block in re.split(r"\n(?=[A-Za-z0-9])", TEXTS[name])[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert not re.search(r"://|--index|--find-links|--extra|(?m:^\s*-e )|@ ", TEXTS[name])


def test_what_is_installed_is_what_is_pinned():
    wrong = []
    for pin in lock.pins(TEXTS[lock.DEVELOPMENT]):
        if not applies(pin.marker):
            continue
        try:
            installed = importlib.metadata.version(pin.name)
        except importlib.metadata.PackageNotFoundError:
            installed = "0"
        if Version(installed) != Version(pin.version):
            wrong.append(f"{pin.name}: {installed}, not {pin.version}")
    assert not wrong, "run `make setup`"


def test_another_dependency_changes_the_digest():
    changed = {**PROJECT, "project": {**PROJECT["project"], "dependencies": ["one>=1"]}}
    assert lock.digest(changed) != lock.digest(PROJECT)


def test_a_pin_is_read_with_its_marker():
    text = "A_b==1.0 ; python_version < '3.13' \\\n    --hash=sha256:0\nc==2 \\\n    # via a-b\n"
    assert lock.pins(text) == (lock.Pin("a-b", "1.0", "python_version < '3.13'"), lock.Pin("c", "2", ""))
