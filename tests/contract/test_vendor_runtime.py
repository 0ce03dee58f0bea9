"""The app through the vendor's own worker, which is a package from Python 3.13 on."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.contract.test_function_app import ROOT, load

_INDEX = """
import json, sys
from azure_functions_runtime import handle_event

class Message:
    # A message of the worker's protocol: a record of what it is given; its enums are names, directions apart.
    def __init__(self, **fields):
        self.__dict__.update(fields)

class Enumerated(type):
    def __getattr__(cls, name):
        return {"out": 1, "inout": 2}.get(name, name)

class Messages:
    def __getattr__(self, name):
        return Enumerated(name, (Message,), {})

handle_event.protos = Messages()
handle_event.load_binding_registry()
results = handle_event.index_functions(sys.argv[1] + "/function_app.py", sys.argv[1])
print(json.dumps({one.name: one.raw_bindings for one in results}))
"""


@pytest.mark.skipif(sys.version_info < (3, 13), reason="the vendor's worker is no package below Python 3.13")
def test_the_worker_indexes_every_function_with_its_bindings(monkeypatch):
    monkeypatch.setenv("DICOM_STORAGE", "UseDevelopmentStorage=true")
    run = subprocess.run(
        [sys.executable, "-c", _INDEX, str(ROOT)], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    indexed = json.loads(run.stdout.splitlines()[-1])
    expected = {one.get_function_name(): one.get_raw_bindings() for one in load(monkeypatch).app.get_functions()}
    assert indexed.keys() == expected.keys()
    for name, bindings in expected.items():
        assert [json.loads(one)["type"] for one in indexed[name]] == [json.loads(one)["type"] for one in bindings]
