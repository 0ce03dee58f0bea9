"""The Bicep files are in order, and every check of them finds what it is there for."""

import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from shared.api.access.roles import BUILT_IN
from shared.dev.infra import command as infra
from shared.dev.infra.apps import app_findings
from shared.dev.infra.policy import MUST
from shared.dev.infra.properties import record, resources
from shared.dev.infra.settings import EXACTLY, FOR_THE_PLATFORM, ending_findings, read_by_the_code
from shared.dev.infra.source import read, read_all, syntax_findings
from shared.dev.infra.values import UNKNOWN, Values
from tests.support.served import ROOT


@dataclass(frozen=True)
class Fault:
    file: str
    old: str
    new: str
    found: str


FAULTS = [Fault(**each) for each in yaml.safe_load((Path(__file__).parent / "faults.yaml").read_text())]


def written_over(folder, file, old, new):
    text = (folder / file).read_text()
    assert text.count(old) == 1, f"{file}: {old}"
    (folder / file).write_text(text.replace(old, new))


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(infra.FOLDER, tmp_path / "infra")


@pytest.fixture(scope="module")
def found_in_the_copy(tmp_path_factory):
    folder = shutil.copytree(infra.FOLDER, tmp_path_factory.mktemp("faults") / "infra")
    for fault in FAULTS:
        written_over(folder, fault.file, fault.old, fault.new)
    return [str(each) for each in infra.findings(folder)]


def test_nothing_is_wrong():
    assert infra.findings() == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.found)
def test_a_fault_is_found(found_in_the_copy, fault):
    assert [each for each in found_in_the_copy if fault.found in each]


def test_every_rule_about_a_resource_is_about_one_that_is_there():
    made = {kind.partition("@")[0] for _, _, kind in resources(read_all(infra.FOLDER))}
    assert MUST.keys() <= made


def test_every_setting_with_a_fixed_text_is_one_that_somebody_reads():
    assert EXACTLY.keys() <= read_by_the_code() | FOR_THE_PLATFORM


def test_a_file_that_is_no_bicep_is_found(folder):
    written_over(folder, "modules/storage.bicep", "kind: 'StorageV2'", "kind 'StorageV2'")
    assert [each.file for each in infra.findings(folder)][:1] == ["modules/storage.bicep"]


def test_a_module_that_is_not_there_is_found(folder):
    (folder / "modules" / "alerts.bicep").unlink()
    assert "there is no modules/alerts.bicep" in {each.text for each in infra.findings(folder)}


def test_a_rule_about_a_resource_that_nobody_makes_is_found(folder):
    (folder / "modules" / "monitoring.bicep").write_text("param name string\noutput connectionString string = name\n")
    assert "there is no Microsoft.Insights/components" in {each.text for each in infra.findings(folder)}


def test_an_empty_folder_is_a_finding(tmp_path):
    assert [each.text for each in infra.findings(tmp_path)] == ["there is no Bicep file"]


def test_a_list_of_apps_that_leaves_something_unserved_is_found(folder):
    cases = {
        "none": ("[]", "there is no app"),
        "less": ("[{ name: 'a', versions: [] }]", "an app has"),
        "some": ("[{ name: 'a', versions: ['v1'], alwaysReady: 0 }]", "no app serves v2"),
        "both": (
            "[{ name: 'a', versions: [], alwaysReady: 0 }, { name: 'b', versions: ['v1'], alwaysReady: 0 }]",
            "an app with all versions is the only one",
        ),
    }
    for name, (apps, _) in cases.items():
        (folder / f"{name}.bicepparam").write_text(f"using 'main.bicep'\n\nparam apps = {apps}\n")
    found = infra.findings(folder)
    for name, (_, text) in cases.items():
        assert [each for each in found if each.file == f"{name}.bicepparam" and text in each.text], name


def test_the_workbook_of_every_environment_begins_with_the_versions_that_are_deprecated(folder):
    written_over(folder, "dev.bicepparam", "param softDeleteDays = 1", "param endingVersions = ['v1']")
    assert {(each.file, each.text) for each in ending_findings(read_all(folder), ["v1.0-prerelease"])} == {
        ("dev.bicepparam", "v1.0-prerelease is deprecated: endingVersions must name it"),
        ("dev.bicepparam", "endingVersions names v1, which is not deprecated"),
        ("prod.bicepparam", "v1.0-prerelease is deprecated: endingVersions must name it"),
    }
    assert [each.file for each in ending_findings(read_all(folder), ["v1"])] == ["prod.bicepparam"]


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        (
            "dev.bicepparam",
            "param authAudiences = [readEnvironmentVariable('DICOM_AUDIENCE')]\n",
            "",
            "app all would not start",
        ),
        (
            "dev.bicepparam",
            "param softDeleteDays = 1",
            "param exportDestinations = ['ftp']",
            "DICOM_EXPORT_DESTINATIONS must be words of",
        ),
        ("main.bicep", "background: i == 0", "background: i < 2", "one app has the background work, not 2"),
        ("main.bicep", "versions: app.versions\n      //", "versions: []\n      //", "app v1 is told other versions"),
        ("modules/front-door-routes.bicep", "'${label}.0'", "'${label}.1'", "/v1.0 does not come to v1"),
        ("modules/front-door-routes.bicep", "'${label}.0'", "'${label}.1'", "/v1.1 is no way to write a version of v1"),
        ("modules/front-door-routes.bicep", ", '/${word}/*'", "", "/v1.0-prerelease/studies does not come to pre"),
        ("modules/front-door-routes.bicep", "i == 0 ? ['/*']", "i == 2 ? ['/*']", "/versions does not come to v2"),
    ],
)
def test_what_apps_would_do_is_tried(folder, file, old, new, found):
    written_over(folder, file, old, new)
    assert [each for each in app_findings(read_all(folder), ["v1.0-prerelease", "v1", "v2"]) if found in each.text]


def test_what_only_azure_knows_is_not_guessed(tmp_path):
    path = tmp_path / "a.bicep"
    path.write_text(
        "param id string\nvar text = 'a-${id}-b'\nvar chosen = id == 'x' ? 1 : 2\n"
        "var calls = [replace('ab', 'b', 'c'), toLower('A'), !empty(text) && 2 > 1]\n"
    )
    values = Values(read(path, tmp_path), {})
    assert values.named("text") == "a-unknown-b"
    assert values.named("chosen") is UNKNOWN
    assert values.named("calls") == ["ac", UNKNOWN, True]


def test_places_in_parameter_files_are_those_of_the_file(tmp_path):
    path = tmp_path / "a.bicepparam"
    path.write_text("using 'main.bicep'\n\nparam first = 1\nparam second = = 2\n")
    assert [each.line for each in syntax_findings(read(path, tmp_path))] == [4]


DEFINITIONS = [
    {"$type": "StringType"},
    {"$type": "ResourceType", "name": "Microsoft.Some/things@2025-01-01", "body": {"$ref": "#/2"}},
    {
        "$type": "ObjectType",
        "properties": {
            "name": {"type": {"$ref": "#/0"}, "flags": 9},
            "kind": {"type": {"$ref": "#/3"}, "flags": 1},
            "id": {"type": {"$ref": "#/0"}, "flags": 2},
        },
    },
    {"$type": "UnionType", "elements": [{"$ref": "#/4"}, {"$ref": "#/0"}]},
    {"$type": "StringLiteralType", "value": "Round"},
]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("name: 'a'", []),
        ("name: 'a'\n  color: 'red'", ["Azure knows no color"]),
        ("name: 'a'\n  id: 'b'", ["id is told by Azure, not to it"]),
    ],
)
def test_the_table_is_recorded_from_definitions_and_only_of_what_they_know(tmp_path, body, found):
    types = tmp_path / "generated" / "some" / "microsoft.some" / "2025-01-01" / "types.json"
    types.parent.mkdir(parents=True)
    types.write_text(json.dumps(DEFINITIONS))
    (tmp_path / "a.bicep").write_text(f"resource a 'Microsoft.Some/things@2025-01-01' = {{\n  {body}\n}}\n")
    assert [each.text for each in record(read_all(tmp_path), tmp_path, tmp_path)] == found
    assert (tmp_path / "types.yaml").exists() == (not found)
    if not found:
        table = yaml.safe_load((tmp_path / "types.yaml").read_text())
        assert table == {"Microsoft.Some/things@2025-01-01": {"kind": "Round !", "name": "string !"}}


def compiler(folder, script):
    (folder / "bicep").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bicep").chmod(0o755)
    return str(folder)


def test_without_a_compiler_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert infra.compiled().startswith("NOT COMPILED")


def test_a_compiler_sees_the_template_and_every_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(
        "PATH", compiler(tmp_path, f'printf "%s|" "$@" >> {tmp_path}/asked; echo >> {tmp_path}/asked'), prepend=":"
    )
    assert infra.compiled() == "COMPILED"
    asked = [line.split("|") for line in (tmp_path / "asked").read_text().splitlines()]
    assert [(words[0], Path(words[1]).name) for words in asked] == [
        ("build", "main.bicep"),
        ("build-params", "dev.bicepparam"),
        ("build-params", "prod.bicepparam"),
    ]


def test_what_the_compiler_does_not_take_fails_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", compiler(tmp_path, 'echo "Error BCP018" >&2; exit 1'), prepend=":")
    assert infra.main(["check"]) == 1
    assert "main.bicep does not compile\nError BCP018" in capsys.readouterr().out


def test_the_readme_of_infra_names_every_file_and_environment():
    readme = (ROOT / "infra" / "README.md").read_text()
    assert [name for name in read_all(infra.FOLDER).values() if f"`{name.file}`" not in readme] == []


def test_the_roles_that_the_guide_registers_are_those_that_the_service_knows():
    roles = json.loads((infra.FOLDER / "app-roles.json").read_text())
    known = {role.name for role in BUILT_IN}
    values = {role["value"] for role in roles}
    assert values == {name for name in known if " " not in name}, "values of app roles have no spaces"
    assert len({role["id"] for role in roles}) == len(roles)
    for role in roles:
        assert set(role) == {"id", "value", "displayName", "description", "allowedMemberTypes", "isEnabled"}
        assert str(uuid.UUID(role["id"])) == role["id"]
        assert set(role["allowedMemberTypes"]) == {"User", "Application"}
