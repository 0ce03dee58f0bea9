"""The host refuses to start with what Azure would refuse or drop, and says everything at once."""

import subprocess
import sys

import pytest

from shared.dev.host.settings import environment
from tests.support.served import ROOT

APPS = ROOT / "tests" / "dev" / "apps"


def refusal(app, **settings):
    command = [sys.executable, "-m", "shared.dev.host", "--port", "0", "--app", str(app)]
    env = {**environment(), "PYTHON_ENABLE_INIT_INDEXING": "1", **settings}
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stdout == ""
    return ended.stderr


@pytest.fixture(scope="module")
def faults():
    return refusal(APPS / "faulty")


@pytest.mark.parametrize(
    "expected",
    [
        "1digit: not a function name",
        "host: not a function name",
        "sAME: differs from Same in case only",
        "second_on_route: has the route of first_on_route",
        "reserved: route 'administrators' begins with a word the host keeps",
        "template: 'a/{b'",
        "union: its return annotation must be one class",
        "classic: takes a HttpRequest",
        "classic_reply: returns a HttpResponse",
        "hint: its annotations cannot be read at run time",
        "argument: takes ['request'], while its trigger fills ['req']",
        "wrong_context: its parameter context must be annotated azure.functions.Context",
        "no_bundle: queue and timer triggers need an extensionBundle",
        "blob: needs one trigger of httpTrigger, queueTrigger, timerTrigger",
    ],
)
def test_a_fault_is_named(faults, expected):
    assert f"  - {expected}" in faults


def test_nothing_but_the_faults_is_named(faults):
    assert faults.count("\n  - ") == 14


def test_two_apps_in_one_file_are_refused():
    assert "exactly one FunctionApp at top level, not 2" in refusal(APPS / "twice")


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="from Python 3.13 on the worker always indexes at start")
def test_streams_without_init_indexing_are_refused():
    assert "PYTHON_ENABLE_INIT_INDEXING must be 1" in refusal(APPS / "streams", PYTHON_ENABLE_INIT_INDEXING="0")


def test_an_app_that_cannot_be_imported_is_named_with_its_place(tmp_path):
    (tmp_path / "function_app.py").write_text("import azure.functions\nraise OSError('no luck')\n")
    text = refusal(tmp_path)
    assert "host.json: No such file" in text
    assert 'function_app.py", line 2' in text
    assert "no luck" in text


def test_a_module_that_an_installed_package_hides_is_refused(tmp_path):
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    (tmp_path / "iniconfig.py").write_text("")
    # Loaded from its place, as a local run with the app first on the path would.
    (tmp_path / "function_app.py").write_text(
        "import importlib.util, pathlib, sys\n"
        "import azure.functions as func\n"
        "spec = importlib.util.spec_from_file_location('iniconfig', pathlib.Path(__file__).with_name('iniconfig.py'))\n"
        "sys.modules['iniconfig'] = importlib.util.module_from_spec(spec)\n"
        "app = func.FunctionApp()\n"
    )
    assert "iniconfig: hidden on Azure by the installed package" in refusal(tmp_path)


def test_a_number_that_is_none_is_refused():
    text = refusal(APPS / "streams", FUNCTIONS_REQUEST_BODY_SIZE_LIMIT="many")
    assert "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT must be a whole number" in text
