"""The gate over golden replies: one replay of an app that breaks what it promised, judged in many ways."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from shared.dev.contract import command as contract
from shared.dev.contract import gate
from shared.dev.golden import replay, steps, verdict
from shared.dev.golden.record import Recordings
from shared.dev.host.settings import environment
from tests.dev.contract import gate_made
from tests.dev.contract.gate_made import FIRST_DAY, TODAY, commit, edit, failures
from tests.support.served import ROOT

REQUESTS = """
- {step: store, operation: storeInstances, request: POST studies, parts: [good]}
- {step: the newest, operation: getLatestChange, request: "GET changefeed/latest?includemetadata=false"}
- {step: a version that is not there, request: GET /v9/studies}
"""
# Nothing that a document or a behaviour word shows: the case of one word of the feed.
BREAK = """
from shared.changefeed.entries import State
State.CURRENT._value_ = "current"
"""
NEWEST = "GET /{0}/changefeed/latest (getLatestChange)"
ACCEPTED_LINE = """
  - rule: golden-reply-changed
    label: {0}
    operation: GET /{0}/changefeed/latest
    reason: the word was never documented
    approver: The board
    decided: 2027-01-15
"""


@dataclass(frozen=True)
class Broken:
    """A repository whose app breaks a promise, and what that app answers."""

    root: Path
    replayed: Recordings


@pytest.fixture(scope="module")
def broken_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("golden") / "repository"
    gate_made.make(root, ("storeInstances", "getLatestChange"))
    folder = root / steps.REQUESTS
    folder.mkdir(parents=True)
    (folder / "one.yaml").write_text(REQUESTS, encoding="utf-8")
    shutil.copy(ROOT / "host.json", root)
    (root / "function_app.py").write_text((ROOT / "function_app.py").read_text(encoding="utf-8") + BREAK)
    said: list[str] = []
    replayed = replay.replay(root, said.append)
    assert said[-1] == "golden: 9 replies"
    verdict.record(root, replayed)
    for path in (root / steps.GOLDEN).glob("v*/one.json"):
        text = path.read_text(encoding="utf-8")
        assert text.count('"state": "current"') == 1
        path.write_text(text.replace('"state": "current"', '"state": "Current"'), encoding="utf-8")
    commit(root, FIRST_DAY)
    return Broken(root, replayed)


@pytest.fixture
def broken(broken_once, tmp_path, monkeypatch):
    for name in environment():
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    return Broken(shutil.copytree(broken_once.root, tmp_path / "repository"), broken_once.replayed)


def judged(broken, replayed=None):
    answers = broken.replayed if replayed is None else replayed
    lines, code = gate.check(broken.root, date.fromisoformat(TODAY), "HEAD", lambda: answers)
    return code, "\n".join(lines)


def of_newest(rule, *labels):
    return [f"ERR  {label} {NEWEST.format(label)} [{rule}]" for label in labels]


def test_another_reply_fails_with_version_operation_and_rule(broken):
    code, said = judged(broken)
    assert code == 1
    assert failures(said) == [
        *of_newest("golden-not-fresh", "v1.0-prerelease", "v1", "v2"),
        *of_newest("golden-reply-changed", "v1", "v2"),
    ]
    assert "one, step 'the newest': clients get another reply." in said
    assert '     | -      "state": "Current"' in said
    assert '     | +      "state": "current"' in said


def test_recordings_that_were_edited_or_accepted_do_not_help(broken):
    verdict.record(broken.root, broken.replayed)
    commit(broken.root, TODAY)
    edit(broken.root, "v2.yaml", ("The newest change", "The newest change of all"))
    gate.accept(broken.root)
    lines, code = gate.check(broken.root, date.fromisoformat(TODAY), "HEAD~1", replay=lambda: broken.replayed)
    assert (code, failures("\n".join(lines))) == (1, of_newest("golden-reply-changed", "v1", "v2"))


def test_a_prerelease_may_answer_otherwise_and_that_is_printed(broken):
    verdict.record(broken.root, broken.replayed)
    _, said = judged(broken)
    assert f"ERR  v1.0-prerelease {NEWEST.format('v1.0-prerelease')} [golden-reply-changed]" in said
    assert "does not fail: a prerelease may break" in said


def test_an_accepted_break_covers_its_operation(broken):
    verdict.record(broken.root, broken.replayed)
    lines = "".join(ACCEPTED_LINE.format(label) for label in ("v1", "v2"))
    edit(broken.root, "accepted-breaks.yaml", ("accepted: []", f"accepted:{lines}"))
    code, said = judged(broken)
    assert (code, failures(said)) == (0, [])
    assert "does not fail: accepted by The board: the word was never documented" in said


def test_an_accepted_break_is_not_called_unused_when_nobody_asked(broken, capsys):
    edit(broken.root, "accepted-breaks.yaml", ("accepted: []", f"accepted:{ACCEPTED_LINE.format('v1')}"))
    assert contract.main(["check", "--root", str(broken.root), "--no-golden", "--today", TODAY]) == 0
    assert "GOLDEN REPLIES WERE NOT ASKED FOR (--no-golden)" in capsys.readouterr().out


def test_a_request_that_is_not_sent_any_more_fails(broken):
    kept = {
        label: tuple(each for each in recording if each.step != "the newest")
        for label, recording in broken.replayed.items()
    }
    verdict.record(broken.root, kept)
    code, said = judged(broken, kept)
    assert (code, failures(said)) == (1, of_newest("golden-exchange-removed", "v1", "v2"))


def test_requests_that_are_all_gone_fail(broken):
    shutil.rmtree(broken.root / steps.GOLDEN)
    code = contract.main(["check", "--root", str(broken.root), "--today", TODAY])
    assert code == 1


def test_what_is_as_recorded_passes(broken):
    code, said = judged(broken, verdict.recorded(broken.root))
    assert (code, failures(said)) == (0, [])
    assert "golden: 9 replies" in said


def test_a_new_version_is_recorded_by_itself_and_passes(broken):
    folder = broken.root / "versions"
    text = (folder / "v2.yaml").read_text(encoding="utf-8")
    (folder / "v3.yaml").write_text(text.replace("label: v2", "label: v3"), encoding="utf-8")
    gate.accept(broken.root)
    known = verdict.recorded(broken.root)
    replayed = {**known, "v3": known["v2"]}
    code, said = judged(broken, replayed)
    assert (code, failures(said)) == (1, ["ERR  v3 [golden-missing]"])
    assert verdict.record(broken.root, replayed) == ["tests/golden/v3/one.json is new"]
    code, said = judged(broken, replayed)
    assert (code, failures(said)) == (0, [])


def test_recordings_of_a_version_that_is_gone_are_left_over_until_accepted(broken):
    known = verdict.recorded(broken.root)
    shutil.copytree(broken.root / "tests/golden/v2", broken.root / "tests/golden/v9")
    _, said = judged(broken, known)
    assert failures(said) == ["ERR  v9 [golden-left-over]"]
    assert verdict.record(broken.root, known) == ["tests/golden/v9/one.json is gone"]
    assert not (broken.root / "tests/golden/v9").exists()


def test_no_emulator_is_said_and_cannot_be_judged(broken, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert contract.main(["golden", "check", "--root", str(broken.root)]) == 2
    assert "golden requests need the storage emulator: Node.js 20 or newer" in capsys.readouterr().err


def test_a_version_that_nobody_serves_cannot_be_asked(broken, capsys):
    assert contract.main(["golden", "record", "--root", str(broken.root), "--label", "v9"]) == 2
    assert "there is no version 'v9' that is served" in capsys.readouterr().err
