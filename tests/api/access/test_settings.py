"""Settings of access control: what is missing or unsafe stops the start, all of it told at once."""

from __future__ import annotations

import pytest

from shared.api.access.gate import Gate
from shared.settings import Settings, SettingsError
from tests.api import made
from tests.support.tokens import ACCESS

BASE = {"DICOM_STORAGE": "UseDevelopmentStorage=true"}
GOOD = {
    **BASE,
    "DICOM_AUTH": "jwt",
    "DICOM_AUTH_AUTHORITY": "https://login.example/t/v2.0/",
    "DICOM_AUTH_AUDIENCES": "api://one, two",
}


def test_it_is_off_when_nothing_is_said():
    assert not Settings.from_env(BASE).access.on
    assert not Settings.from_env({**BASE, "DICOM_AUTH": "OFF"}).access.on


def test_an_authority_and_an_audience_are_enough():
    access = Settings.from_env(GOOD).access
    assert access.on
    assert (access.authority, access.audiences) == ("https://login.example/t/v2.0", ("api://one", "two"))
    assert (access.roles_claim, access.issuers, access.tenants) == ("roles", (), ())


def test_everything_can_be_said():
    access = Settings.from_env(
        {
            **BASE,
            "DICOM_AUTH": "JWT",
            "DICOM_AUTH_JWKS_URL": "http://127.0.0.1:7073/keys",
            "DICOM_AUTH_ISSUERS": "a,b",
            "DICOM_AUTH_AUDIENCES": "c",
            "DICOM_AUTH_TENANTS": "t1, t2",
            "DICOM_AUTH_ROLES_CLAIM": "role",
            "DICOM_AUTH_ROLES": "[]",
        }
    ).access
    assert (access.jwks_url, access.issuers, access.tenants) == ("http://127.0.0.1:7073/keys", ("a", "b"), ("t1", "t2"))
    assert (access.roles_claim, access.roles) == ("role", "[]")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"DICOM_AUTH": "on"}, "DICOM_AUTH must be off or jwt"),
        ({"DICOM_AUTH_AUDIENCES": " ,"}, "DICOM_AUTH_AUDIENCES must name"),
        ({"DICOM_AUTH_AUTHORITY": ""}, "set DICOM_AUTH_AUTHORITY, or"),
        ({"DICOM_AUTH_AUTHORITY": "", "DICOM_AUTH_JWKS_URL": "https://a/k"}, "DICOM_AUTH_ISSUERS must name"),
        ({"DICOM_AUTH_AUTHORITY": "http://login.example"}, "DICOM_AUTH_AUTHORITY must be an https address"),
        ({"DICOM_AUTH_JWKS_URL": "http://login.example/k"}, "DICOM_AUTH_JWKS_URL must be an https address"),
        ({"DICOM_AUTH_JWKS_URL": "https://["}, "DICOM_AUTH_JWKS_URL must be an https address"),
        ({"DICOM_AUTH_AUTHORITY": "https://"}, "must be an https address"),
        ({"DICOM_AUTH_AUDIENCES": 'a"b'}, "plain ASCII"),
        ({"DICOM_AUTH_AUDIENCES": "a\r\nSet-Cookie: x"}, "plain ASCII"),
    ],
)
def test_what_is_missing_or_unsafe_stops_the_start(changed, said):
    with pytest.raises(SettingsError, match=said):
        Settings.from_env({**GOOD, **changed})


def test_all_faults_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**GOOD, "DICOM_AUTH_AUDIENCES": "", "DICOM_AUTH_AUTHORITY": "", "DICOM_EXPORT": "maybe"})
    assert str(caught.value).count("\n") == 3


def test_a_door_has_the_gate_of_its_settings_though_nobody_gave_it_one():
    gate = made.door(Settings(access=ACCESS)).gate
    assert isinstance(gate, Gate)
    with pytest.raises(SettingsError):
        made.door(Settings(access=type(ACCESS)(on=True, roles="{")))
