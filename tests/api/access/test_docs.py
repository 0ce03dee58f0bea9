"""docs/access.md says what the code does."""

from __future__ import annotations

import re

from shared.api.access import fetching, keys, tokens
from shared.api.access.actions import Action
from shared.api.access.roles import BUILT_IN
from shared.api.audit import MOST_HEADER_CHARACTERS, MOST_HEADERS, MOST_RESOURCES, PREFIX
from tests.support.served import ROOT

TEXT = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")


def test_limits_are_those_of_the_code():
    for said in (
        f"at most {tokens.MOST_CHARACTERS:,} characters",
        f"differ by {tokens.LEEWAY_SECONDS} seconds",
        f"once in {keys.PAUSE_SECONDS:.0f} seconds whatever comes",
        f"go on for {keys.KEPT_SECONDS / 3600:.0f} hours",
        f"once in {keys.RETRY_SECONDS:.0f} seconds |",
        f"at most {fetching.SECONDS:.0f} seconds and {fetching.MOST_BYTES // 1024} KiB",
        f"up to {MOST_RESOURCES};",
        f"more than {MOST_HEADERS}, or one of more than {MOST_HEADER_CHARACTERS:,} characters",
        PREFIX,
    ):
        assert said in TEXT, said
    assert keys.FRESH_SECONDS == 3600


def test_every_algorithm_every_action_and_every_role_is_there_and_no_other():
    (signature,) = re.findall(r"^\| signature \|.*", TEXT, re.MULTILINE)
    assert set(re.findall(r"[A-Z]{2}\d{3}", signature)) == {*keys.RSA_ALGORITHMS, *keys.CURVES.values()}
    table = TEXT.partition("## Who may do what")[2].partition("The list of every operation")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [action.value for action in Action]
    roles = TEXT.partition("| role | allows |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([A-Z]?[\w ]+)`(?=,| \|)", roles)) - {"read"} == {role.name for role in BUILT_IN}


def test_every_setting_is_explained():
    settings = set(re.findall(r"DICOM_AUTH\w*", (ROOT / "shared" / "settings.py").read_text(encoding="utf-8")))
    assert settings <= set(re.findall(r"DICOM_AUTH\w*", TEXT))
