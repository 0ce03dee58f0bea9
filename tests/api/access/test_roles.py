"""Roles: those that are built in, and those of the setting, in the form of the original's roles.json (contract C16)."""

from __future__ import annotations

import json

import pytest

from shared.api.access.actions import Action
from shared.api.access.roles import Roles
from shared.settings import SettingsError


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("globalReader", {Action.READ}),
        ("globalAdmin", set(Action)),
        ("DICOM Data Reader", {Action.READ}),
        ("DICOM Data Owner", set(Action)),
        ("GLOBALADMIN", set()),
        ("globaladmin ", set()),
        ("", set()),
        ("*", set()),
    ],
)
def test_built_in_roles_allow_what_they_say(name, allowed):
    roles = Roles.of("")
    assert {action for action in Action if roles.allow([name], action)} == allowed


def test_roles_of_the_setting_come_beside_and_in_place_of_the_built_in_ones():
    own = [
        {"name": "editor", "dataActions": ["*"], "notDataActions": ["delete", "export"], "scopes": ["/"]},
        {"name": "globalAdmin", "dataActions": []},
    ]
    for text in (json.dumps(own), json.dumps({"roles": own})):
        roles = Roles.of(text)
        allowed = {action for action in Action if roles.allow(["editor"], action)}
        assert allowed == {Action.READ, Action.WRITE, Action.MANAGE_TAGS}
        assert not any(roles.allow(["globalAdmin"], action) for action in Action)
        assert roles.allow(["globalAdmin", "globalReader"], Action.READ)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("7", "must be a list"),
        ("{}", "must be a list"),
        ("[7]", "role 1: must be an object"),
        ('[{"dataActions": []}]', "name must be"),
        ('[{"name": " ", "dataActions": []}]', "name must be"),
        ('[{"name": "a"}]', "dataActions must be"),
        ('[{"name": "a", "dataActions": "*"}]', "dataActions must be"),
        ('[{"name": "a", "dataActions": ["fly"]}]', "dataActions must be a list of: [*], read, write"),
        ('[{"name": "a", "dataActions": ["Read"]}]', "dataActions must be"),
        ('[{"name": "a", "dataActions": [["read"]]}]', "dataActions must be"),
        ('[{"name": "a", "dataActions": [], "notDataActions": null}]', "notDataActions must be"),
        ('[{"name": "a", "dataActions": [], "scopes": ["/studies"]}]', "scopes must be"),
        ('[{"name": "a", "dataActions": [], "dataAction": []}]', "unknown member 'dataAction'"),
        ('[{"name": "a", "dataActions": []}, {"name": "a", "dataActions": []}]', "'a' is there twice"),
    ],
)
def test_a_setting_that_means_nothing_stops_the_start(text, said):
    with pytest.raises(SettingsError, match=said):
        Roles.of(text)
