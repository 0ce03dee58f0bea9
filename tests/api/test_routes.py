from __future__ import annotations

import inspect
import sys
import textwrap

import pytest

from shared.api import manifest, routes
from shared.api.decode import ManifestError
from shared.api.fallback import Fallback
from shared.settings import Settings
from tests.api import made
from tests.api.host_rules import Function, pick
from tests.support.versions import HEADERS, is_known, spellings

UID = {"studyInstanceUid": "1.2", "seriesInstanceUid": "3.4", "sopInstanceUid": "5.6", "frames": "2,1", "frame": "7"}
PLACES = {
    **UID,
    "workitemInstanceUid": "1.9",
    "tagPath": "patientage",
    "operationId": "0f8fad5bd9cb469fa16570867728950e",
}


def functions(endpoints) -> list[Function]:
    return [Function(one.name, one.pattern.template, one.methods) for one in endpoints.values()]


def rows():
    for version in manifest.load(made.VERSIONS).versions:
        for row in version.rows:
            for spelling in spellings(version.label):
                yield version.label.slug, row, spelling


def test_every_row_is_reached_under_every_spelling():
    served = functions(made.bound())
    for slug, row, spelling in rows():
        path = row.path.format(**PLACES)
        name, values = pick(served, row.method, f"/{spelling}/{path}")
        assert (name, values["version"]) == (f"{slug}_{row.operation}", spelling)
        name, _ = pick(served, row.method, f"/{spelling}/{path.upper() if '.' not in path else path}/")
        assert name == f"{slug}_{row.operation}"
        found = pick(served, row.method, f"/{spelling}/partitions/p1/{path}")
        assert found[0] == (f"{slug}_{row.operation}InPartition" if row.partitioned else f"zy_{slug}_fallback")


def test_other_methods_and_paths_below_a_version_reach_its_catch_all():
    served = functions(made.bound())
    for method in manifest.METHODS:
        for path in ("", "/", "/nothing", "/studies/1/2/3/4", "/partitions/p/x"):
            assert pick(served, method, f"/v1.0{path}")[0] == "zy_v1_fallback"
    for method in ("PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
        assert pick(served, method, "/V2/studies")[0] == "zy_v2_fallback"


def test_frames_and_renderings_do_not_take_each_others_paths():
    served, instance = functions(made.bound()), "studies/1.2/series/3.4/instances/5.6"
    for path, operation, given in (
        ("frames/1", "retrieveFrames", {"frames": "1"}),
        ("frames/2,1,2", "retrieveFrames", {"frames": "2,1,2"}),
        ("frames/2%2C1", "retrieveFrames", {"frames": "2,1"}),
        ("frames/rendered", "retrieveFrames", {"frames": "rendered"}),
        ("frames/1/rendered", "retrieveRenderedFrame", {"frame": "1"}),
        ("frames/rendered/rendered", "retrieveRenderedFrame", {"frame": "rendered"}),
        ("rendered", "retrieveRenderedInstance", {}),
    ):
        name, values = pick(served, "GET", f"/v2/{instance}/{path}")
        assert (name, given.items() <= values.items()) == (f"v2_{operation}", True), path
    assert pick(served, "GET", f"/v2/{instance}/frames")[0] == "zy_v2_fallback"
    assert pick(served, "GET", f"/v2/{instance}/frames/1/2")[0] == "zy_v2_fallback"


UNKNOWN = ("v3", "v2.1", "v1beta", "V9", "v2024-01-01")


@pytest.mark.parametrize("segment", [text for text in UNKNOWN if not is_known(text)])
def test_unknown_versions_reach_their_catch_all_at_any_depth(segment):
    served = functions(made.bound())
    for path in ("", "/", "/studies", "/api.yaml", "/a/b/c/d"):
        assert pick(served, "GET", f"/{segment}{path}")[0] == "zz_unknown_version"


@pytest.mark.parametrize("path", ["/vX/studies", "/v/studies", "/studies", "/", "/vfoo", "/partitions/p/studies"])
def test_what_is_no_version_stays_with_the_host(path):
    assert pick(functions(made.bound()), "POST", path)[0] == ""


def test_health_is_outside_any_version():
    served = functions(made.bound())
    for path, name in (("live", "getLiveness"), ("ready", "getReadiness"), ("check", "checkHealth")):
        assert pick(served, "GET", f"/health/{path}")[0] == f"service_{name}"
    assert all(endpoint.headers == () for endpoint in made.bound().values() if endpoint.name.startswith("service_"))


def test_the_switch_binds_unversioned_routes_to_the_named_version(tmp_path):
    edit = {"service": lambda text: text.replace("unversioned_routes: refused", "unversioned_routes: v1.0-prerelease")}
    room = made.Room()
    endpoints = made.bound(made.folder(tmp_path, **edit), room=room)
    served = functions(endpoints)
    prerelease = manifest.load(made.VERSIONS).versions[0]
    for row in prerelease.rows:
        found = pick(served, row.method, f"/{row.path.format(**PLACES)}")
        if row.handler.startswith("api."):
            assert found[0] == ""
        else:
            assert found[0] == f"unversioned_{row.operation}"
            assert endpoints[found[0]].headers == ()
            assert made.service(endpoints[found[0]]).behaviours == prerelease.behaviours
    assert pick(served, "POST", "/partitions/p/studies")[0] == "unversioned_storeInstancesInPartition"
    assert pick(served, "POST", "/v2/studies")[0] == "v2_storeInstances"


def test_an_app_can_serve_one_version_and_knows_of_the_others():
    endpoints = made.bound(settings=Settings(api_versions=("v2.0",)))
    served = functions(endpoints)
    assert pick(served, "POST", "/v2/studies")[0] == "v2_storeInstances"
    assert pick(served, "POST", "/v1/studies")[0] == "zz_unknown_version"
    assert endpoints["v2_storeInstances"].headers == HEADERS


def test_a_setting_that_names_no_version_stops_the_start():
    with pytest.raises(ManifestError, match="DICOM_API_VERSIONS names 'v7'"):
        made.bound(settings=Settings(api_versions=("v2", "v7")))


BULK = """
  - operation: {name}
    method: POST
    path: studies/$bulkMove
    handler: stow.store_instances
    tag: Store
    summary: Change many studies
    returns: {{202: nothing}}
"""


def test_a_literal_route_whose_name_sorts_late_is_refused(tmp_path):
    where = made.folder(tmp_path, v2=lambda text: text + BULK.format(name="updateStudies"))
    with pytest.raises(ManifestError) as caught:
        made.bound(where)
    # The other versions have a function at that path as well, with the same name.
    faults = [fault for fault in caught.value.faults if "v2_" in fault]
    assert len(faults) == 1
    assert faults[0].startswith("v2_updateStudies (")
    assert "is never reached: v2_storeInstancesInStudy (" in faults[0]


def test_the_same_route_with_a_name_that_sorts_early_is_served(tmp_path):
    where = made.folder(tmp_path, v2=lambda text: text + BULK.format(name="bulkMoveStudies"))
    served = functions(made.bound(where))
    assert pick(served, "POST", "/v2/studies/$BULKmove")[0] == "v2_bulkMoveStudies"
    assert pick(served, "POST", "/v2/studies/1.2")[0] == "v2_storeInstancesInStudy"
    assert pick(served, "POST", "/v2/studies/$BULKupdate")[0] == "v2_bulkUpdateStudies"
    assert pick(served, "POST", "/v1/studies/$bulkMove")[0] == "v1_bulkMoveStudies"


@pytest.mark.parametrize("settings", [Settings(), Settings(api_versions=("v1.0-prerelease", "v1"))])
def test_a_word_that_another_version_has_is_no_uid_in_the_versions_without_it(settings):
    endpoints = made.bound(settings=settings)
    served = functions(endpoints)
    for label in (
        one.label for one in manifest.load(made.VERSIONS).versions if one.label.name in ("1.0-prerelease", "1")
    ):
        for spelling in spellings(label):
            for path, suffix in (("studies/$bulkUpdate", ""), ("partitions/p/STUDIES/$BULKUPDATE/", "InPartition")):
                name, values = pick(served, "POST", f"/{spelling}/{path}")
                assert (name, values["version"]) == (f"{label.slug}_bulkUpdateStudies{suffix}", spelling)
                assert isinstance(endpoints[name].work, Fallback)
            # Only the method that the other version has it with.
            assert pick(served, "GET", f"/{spelling}/studies/$bulkUpdate")[0] == f"{label.slug}_retrieveStudy"
            assert pick(served, "POST", f"/{spelling}/studies/1.2")[0] == f"{label.slug}_storeInstancesInStudy"


def test_a_word_that_no_row_would_take_needs_no_function_in_the_versions_without_it():
    assert "v1_0_prerelease_exportStudies" not in made.bound()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("STUDIES/{sopInstanceUid}", "take the same paths with the same method"),
        ("'{studyInstanceUid}/series'", "neither is the more specific one"),
    ],
)
def test_routes_that_cannot_be_told_apart_are_refused(tmp_path, path, said):
    extra = BULK.format(name="another").replace("studies/$bulkMove", path)
    with pytest.raises(ManifestError, match=said):
        made.bound(made.folder(tmp_path, v2=lambda text: text + extra))


def test_an_operation_named_like_the_partition_twin_of_another_is_refused(tmp_path):
    extra = BULK.format(name="storeInstancesInPartition")
    with pytest.raises(ManifestError, match="two functions are named 'V2_STOREINSTANCESINPARTITION'"):
        made.bound(made.folder(tmp_path, v2=lambda text: text + extra))


def test_function_names_and_routes_the_host_would_drop_are_refused(tmp_path):
    long_name = "a" * 128
    extra = BULK.format(name=long_name)
    with pytest.raises(ManifestError, match="is not a name the host accepts"):
        made.bound(made.folder(tmp_path, v2=lambda text: text + extra))


def test_a_route_the_host_keeps_for_itself_is_refused(tmp_path):
    edit = {"service": lambda text: text.replace("path: health/live", "path: administrators")}
    with pytest.raises(ManifestError, match="keeps for itself"):
        made.bound(made.folder(tmp_path, **edit))


def test_all_missing_handlers_are_told_at_once(tmp_path):
    rule = "{action: read, audit: retrieve}"
    edit = {
        "v1": lambda text: text.replace("stow.store_instances\n", "stow.nothing_there\n").replace(
            "wado.retrieve_study\n", "nowhere.retrieve_study\n"
        ),
        "shapes": lambda text: text.replace(
            "access:\n", f"access:\n  stow.nothing_there: {rule}\n  nowhere.retrieve_study: {rule}\n"
        ),
    }
    with pytest.raises(ManifestError) as caught:
        routes.bind(manifest.load(made.folder(tmp_path, **edit)), made.SETTINGS)
    text = str(caught.value)
    assert "v1: storeInstances: " in text
    assert "there is no room 'nowhere' with handlers" in text


@pytest.fixture
def made_room(tmp_path, monkeypatch):
    """A room of our own below the real package."""
    import shared

    (tmp_path / "shared" / "madeup").mkdir(parents=True)
    (tmp_path / "shared" / "madeup" / "__init__.py").write_text("")
    (tmp_path / "shared" / "madeup" / "handlers.py").write_text(
        textwrap.dedent("""
            async def good(call, stores): ...
            def plain(call, stores): ...
            async def narrow(call): ...
            number = 1
        """)
    )
    monkeypatch.setattr(shared, "__path__", [*shared.__path__, str(tmp_path / "shared")])
    yield
    for name in [name for name in sys.modules if name.startswith("shared.madeup")]:
        del sys.modules[name]


def test_handlers_are_found_by_room_and_function(made_room):
    assert inspect.iscoroutinefunction(routes.room_handler("madeup.good"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("plain", "no coroutine"), ("narrow", "two arguments"), ("number", "no coroutine"), ("gone", "no coroutine")],
)
def test_handlers_of_another_form_are_refused(made_room, name, said):
    with pytest.raises(routes.HandlerError, match=said):
        routes.room_handler(f"madeup.{name}")


def test_only_handlers_of_rooms_can_be_named():
    with pytest.raises(routes.HandlerError, match="no room 'api'"):
        routes.room_handler("api.bind")
