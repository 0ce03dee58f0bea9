"""A client that a generator makes of each version's document works against the service."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from shared.dev.host.settings import environment
from tests.support.clients import store
from tests.support.images import shipped
from tests.support.versions import LABELS

# Bytes are bytes: the generator knows no media type but this one for them. docs/generated-clients.md shows the same.
BYTES = ("application/dicom", "image/jpeg", "image/png", "multipart/related", "text/css")
CONFIG = {"content_type_overrides": dict.fromkeys(BYTES, "application/octet-stream")}
SECONDS = 120


def generated(document: Path, folder: Path) -> None:
    """The client of a document as a package; the generator must not stumble over anything."""
    config = folder.parent / "generator.yaml"
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    programs = Path(sys.executable).parent
    command = [str(programs / "openapi-python-client"), "generate", "--path", str(document), "--meta", "none"]
    command += ["--output-path", str(folder), "--config", str(config)]
    # Formatting what it wrote is done by a program beside it.
    own = {**environment(), "PATH": f"{programs}:{environment().get('PATH', '')}"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=own)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "WARNING" not in run.stdout + run.stderr, run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
async def test_a_generated_client_searches_and_reads(client: httpx.AsyncClient, service, tmp_path, monkeypatch, label):
    document = tmp_path / "api.json"
    served = (await client.get(f"/{label}/api.json")).json()
    document.write_text(json.dumps(served), encoding="utf-8")
    name = f"client_{label.replace('.', '_').replace('-', '_')}"
    generated(document, tmp_path / name)
    instance = shipped("CT_small.dcm")
    assert (await store(client, f"/{label}", [instance.content])).status_code in (200, 202)

    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        made = importlib.import_module(name)
        with made.Client(base_url=service.url, httpx_args={"trust_env": False}) as ours:
            call(name, ours, instance)
    finally:
        for module in [module for module in sys.modules if module.partition(".")[0] == name]:
            del sys.modules[module]


def call(name, ours, instance):
    def operation(tag, module):
        return importlib.import_module(f"{name}.api.{tag}.{module}").sync_detailed

    found = operation("search", "search_studies")(client=ours, study_instance_uid=instance.study_uid, limit=5)
    assert (found.status_code, len(found.parsed)) == (200, 1)
    assert found.parsed[0]["0020000D"].value == [instance.study_uid]
    assert found.parsed[0]["00100010"].value[0].alphabetic
    newest = operation("change_feed", "get_latest_change")(client=ours, include_metadata=False)
    assert (newest.status_code, newest.parsed.sop_instance_uid) == (200, instance.sop_instance_uid)
    uids = (instance.study_uid, instance.series_uid, instance.sop_instance_uid)
    whole = operation("retrieve", "retrieve_instance")(*uids, client=ours, accept="application/dicom;transfer-syntax=*")
    assert whole.parsed.payload.read() == instance.content
    refused = operation("search", "search_studies")(client=ours, limit=0)
    assert (refused.status_code, refused.parsed) == (400, "Limit: must be a whole number of at least 1 and at most 200")
    nothing = operation("retrieve", "retrieve_study")("2.25.1", client=ours)
    assert nothing.status_code == 404
    assert isinstance(nothing.parsed, str)
