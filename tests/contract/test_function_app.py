"""The real function_app through the vendor's own indexer."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import azure.functions as func

from tests.api.host_rules import Function, pick
from tests.support.versions import MANIFESTS

ROOT = Path(__file__).resolve().parents[2]


def load(monkeypatch, **settings):
    """A fresh copy of the module: an app can be indexed only once in its life."""
    monkeypatch.setenv("DICOM_STORAGE", "UseDevelopmentStorage=true")
    for name in ("DICOM_STORAGE__accountName", "DICOM_API_VERSIONS", "DICOM_DATA_PARTITIONS", "DICOM_BACKGROUND"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("function_app_under_test", ROOT / "function_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FIRST = {"v1_0_prerelease": r"1(\.0+)?-?prerelease", "v1": r"1(\.0+)?", "v2": r"2(\.0+)?"}
LATER = [version.label.slug for version in MANIFESTS.versions if version.label.slug not in FIRST]


def test_there_is_exactly_one_app(monkeypatch):
    module = load(monkeypatch)
    apps = [name for name, value in vars(module).items() if isinstance(value, func.FunctionApp)]
    assert apps == ["app"]


def test_the_first_versions_have_their_functions_with_routes_methods_and_bindings(monkeypatch):
    functions = {one.get_function_name(): one for one in load(monkeypatch).app.get_functions()}
    expected = {}
    for slug, version in FIRST.items():
        lead = f"{{version:regex(^v0*{version}$)}}"
        study, series = "studies/{studyInstanceUid}", "studies/{studyInstanceUid}/series/{seriesInstanceUid}"
        instance = f"{series}/instances/{{sopInstanceUid}}"
        data = {
            "storeInstances": ("POST", "studies"),
            "storeInstancesInStudy": ("POST", study),
            "retrieveStudy": ("GET", study),
            "retrieveSeries": ("GET", series),
            "retrieveInstance": ("GET", instance),
            "retrieveFrames": ("GET", f"{instance}/frames/{{frames}}"),
            "retrieveRenderedInstance": ("GET", f"{instance}/rendered"),
            "retrieveRenderedFrame": ("GET", f"{instance}/frames/{{frame}}/rendered"),
            "retrieveStudyMetadata": ("GET", f"{study}/metadata"),
            "retrieveSeriesMetadata": ("GET", f"{series}/metadata"),
            "retrieveInstanceMetadata": ("GET", f"{instance}/metadata"),
            "deleteStudy": ("DELETE", study),
            "deleteSeries": ("DELETE", series),
            "deleteInstance": ("DELETE", instance),
            "searchStudies": ("GET", "studies"),
            "searchSeries": ("GET", "series"),
            "searchInstances": ("GET", "instances"),
            "searchSeriesOfStudy": ("GET", f"{study}/series"),
            "searchInstancesOfStudy": ("GET", f"{study}/instances"),
            "searchInstancesOfSeries": ("GET", f"{series}/instances"),
            "createWorkitem": ("POST", "workitems"),
            "searchWorkitems": ("GET", "workitems"),
            "retrieveWorkitem": ("GET", "workitems/{workitemInstanceUid}"),
            "updateWorkitem": ("POST", "workitems/{workitemInstanceUid}"),
            "changeWorkitemState": ("PUT", "workitems/{workitemInstanceUid}/state"),
            "requestCancellation": ("POST", "workitems/{workitemInstanceUid}/cancelrequest"),
        }
        if slug != "v1_0_prerelease":
            data["exportStudies"] = ("POST", "export")
        # Versions without bulk update have a function that says so: its word would be read as the UID of a study.
        data["bulkUpdateStudies"] = ("POST", "studies/$bulkUpdate")
        for operation, (method, path) in data.items():
            expected[f"{slug}_{operation}"] = ([method], f"{lead}/{path}")
            expected[f"{slug}_{operation}InPartition"] = ([method], f"{lead}/partitions/{{partitionName}}/{path}")
        expected[f"{slug}_getChangeFeed"] = (["GET"], f"{lead}/changefeed")
        expected[f"{slug}_getLatestChange"] = (["GET"], f"{lead}/changefeed/latest")
        tags, tag = f"{lead}/extendedquerytags", f"{lead}/extendedquerytags/{{tagPath}}"
        expected[f"{slug}_addExtendedQueryTags"] = (["POST"], tags)
        expected[f"{slug}_getExtendedQueryTags"] = (["GET"], tags)
        expected[f"{slug}_getExtendedQueryTag"] = (["GET"], tag)
        expected[f"{slug}_updateExtendedQueryTag"] = (["PATCH"], tag)
        expected[f"{slug}_deleteExtendedQueryTag"] = (["DELETE"], tag)
        expected[f"{slug}_getExtendedQueryTagErrors"] = (["GET"], f"{tag}/errors")
        expected[f"{slug}_listPartitions"] = (["GET"], f"{lead}/partitions")
        expected[f"{slug}_getOperation"] = (["GET"], f"{lead}/operations/{{operationId}}")
        expected[f"{slug}_getOpenApi"] = (["GET"], f"{lead}/api.yaml")
        expected[f"{slug}_getOpenApiJson"] = (["GET"], f"{lead}/api.json")
        expected[f"{slug}_getConformance"] = (["GET"], f"{lead}/conformance")
        expected[f"{slug}_getDocs"] = (["GET"], f"{lead}/docs")
        every = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        expected[f"zy_{slug}_fallback"] = (every, f"{lead}/{{*path}}")
    for name, path in (("getLiveness", "live"), ("getReadiness", "ready"), ("checkHealth", "check")):
        expected[f"service_{name}"] = (["GET"], f"health/{path}")
    for name, path in (("listVersions", "versions"), ("getChanges", "changes"), ("getDocsAsset", "docs/{asset}")):
        expected[f"service_{name}"] = (["GET"], path)
    functions = {name: one for name, one in functions.items() if not name.startswith("background_")}
    bindings = {name: list(map(json.loads, function.get_raw_bindings())) for name, function in functions.items()}
    found = {name: (trigger["methods"], trigger["route"]) for name, (trigger, _) in bindings.items()}
    assert found.pop("zz_unknown_version")[1].startswith("{version:regex(^v([0-9]")
    # Those of later versions are proven by the rows of their files, in the tests of routes.
    later = tuple(part for slug in LATER for part in (f"{slug}_", f"zy_{slug}_"))
    assert {name: one for name, one in found.items() if not name.startswith(later)} == expected
    for trigger, output in bindings.values():
        assert (trigger["type"], trigger["direction"], trigger["authLevel"]) == ("httpTrigger", "IN", "ANONYMOUS")
        assert (trigger["name"], output["name"], output["type"]) == ("req", "$return", "http")


def test_background_work_has_its_timers_and_queues(monkeypatch):
    functions = load(monkeypatch).app.get_functions()
    background = {
        one.get_function_name(): json.loads(binding)
        for one in functions
        if one.get_function_name().startswith("background_")
        for binding in one.get_raw_bindings()
    }
    timers = {name: one["schedule"] for name, one in background.items() if one["type"] == "timerTrigger"}
    queues = {name: (one["queueName"], one["connection"]) for name, one in background.items() if "queueName" in one}
    assert timers.items() >= {"background_sweep": "0 */5 * * * *", "background_jobs_wake": "0 * * * * *"}.items()
    assert queues["background_jobs"] == ("dicom-jobs", "DICOM_STORAGE")
    assert queues["background_jobs_poison"] == ("dicom-jobs-poison", "DICOM_STORAGE")
    assert queues["background_import"] == ("dicom-import", "DICOM_STORAGE")
    assert queues["background_import_poison"] == ("dicom-import-poison", "DICOM_STORAGE")
    assert timers["background_import_poll"] == "30 * * * * *"
    assert timers.keys() | queues.keys() == background.keys()


def test_an_app_without_background_work_has_no_timers_and_no_queues(monkeypatch):
    functions = load(monkeypatch, DICOM_BACKGROUND="off").app.get_functions()
    assert {one.get_trigger().type for one in functions} == {"httpTrigger"}


def test_an_app_without_import_has_none_of_its_functions(monkeypatch):
    functions = load(monkeypatch, DICOM_IMPORT="off").app.get_functions()
    assert not [name for one in functions if (name := one.get_function_name()).startswith("background_import")]


def test_names_satisfy_the_host(monkeypatch):
    names = [one.get_function_name() for one in load(monkeypatch).app.get_functions()]
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,127}", name) for name in names)
    assert len({name.upper() for name in names}) == len(names)


def test_an_app_with_one_version_keeps_the_catch_all_for_the_others(monkeypatch):
    app = load(monkeypatch, DICOM_API_VERSIONS="v2").app
    functions = [
        Function(one.get_function_name(), one.get_trigger().route, tuple(map(str, one.get_trigger().methods)))
        for one in app.get_functions()
        if one.get_trigger().type == "httpTrigger"
    ]
    assert pick(functions, "POST", "/v2/studies")[0] == "v2_storeInstances"
    assert pick(functions, "POST", "/v1/studies")[0] == "zz_unknown_version"


def test_the_version_files_are_found_from_any_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load(monkeypatch).app.get_functions()


def test_the_composition_stays_small():
    assert len((ROOT / "function_app.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_the_host_file_has_what_the_triggers_rely_on():
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    assert host["version"] == "2.0"
    assert host["extensions"]["http"]["routePrefix"] == ""
    assert host["extensionBundle"] == {
        "id": "Microsoft.Azure.Functions.ExtensionBundle",
        "version": "[4.*, 5.0.0)",
    }
    queues = host["extensions"]["queues"]
    assert (queues["batchSize"], queues["maxDequeueCount"], queues["messageEncoding"]) == (4, 5, "base64")
