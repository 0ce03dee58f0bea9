"""The gate: what it lets through, and what it stops."""

from __future__ import annotations

import subprocess
from datetime import date

import pytest
import yaml

from shared.api import openapi
from shared.dev.contract import gate as contract_gate
from shared.dev.host.settings import environment
from tests.dev.contract.gate_made import LATEST, TODAY, accept, commit, edit, failures
from tests.support.served import ROOT

NEW_ROW = """
  - operation: searchSeries
    method: GET
    path: series
    handler: qido.search_series
    tag: Search
    summary: Search for series of any study
    takes: [accept]
    offers: dicomJson
    returns: {200: matches}
    refuses: [400, 406]
"""
ACCEPTED_LINE = """
  - rule: response-success-status-removed
    label: v2
    operation: GET /v2/changefeed/latest
    reason: it never was answered
    approver: The board
    decided: 2027-01-15
"""


def test_what_did_not_change_passes(gate):
    code, said = gate()
    assert (code, failures(said)) == (0, [])
    assert said.splitlines()[-1] == "0 ERR, 0 WARN, 0 INFO; nothing fails"


RENAMED = (("      - action\n", "      - deed\n"), ("      action: {", "      deed: {"))


def test_the_gate_is_part_of_make_check():
    command = ["make", "-n", "check"]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True, timeout=60)
    assert "-m shared.dev.contract check" in run.stdout


BREAKS = {
    "a property renamed": (
        "shapes.yaml",
        RENAMED,
        [
            f"ERR  {label} GET /{label}/{path} ({operation}) [response-property-renamed]"
            for label in ("v1", "v2")
            for path, operation in (("changefeed", "getChangeFeed"), ("changefeed/latest", "getLatestChange"))
        ],
    ),
    "a status dropped": (
        "v2.yaml",
        [(LATEST, "returns: {200: changeEntry}")],
        ["ERR  v2 GET /v2/changefeed/latest (getLatestChange) [response-success-status-removed]"],
    ),
    "a default changed": (
        "shapes.yaml",
        [("default: 10\n", "default: 20\n")],
        ["ERR  v1 GET /v1/changefeed (getChangeFeed) [request-parameter-default-changed]"],
    ),
    "a behaviour word changed": (
        "v2.yaml",
        [("search_return_set: lean", "search_return_set: full")],
        ["ERR  v2 [behaviour-changed]"],
    ),
    "an operation id changed": (
        "v1.yaml",
        [("  - operation: getLatestChange", "  - operation: getNewestChange")],
        ["ERR  v1 GET /v1/changefeed/latest (getLatestChange) [operation-id-changed]"],
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_of_a_stable_version_fails_though_it_was_accepted_as_baseline(repository, gate, name):
    file, changes, expected = BREAKS[name]
    edit(repository, file, *changes)
    accept(repository)
    code, said = gate()
    assert (code, failures(said)) == (1, expected)


def test_a_parameter_that_became_required_fails(repository):
    documents = contract_gate.generated(repository)
    content = yaml.safe_load(documents["v2"])
    parameters = content["paths"]["/v2/changefeed"]["get"]["parameters"]
    next(each for each in parameters if each["name"] == "Limit")["required"] = True
    changed = {**documents, "v2": openapi.as_yaml(content)}
    for label, text in changed.items():
        (repository / "versions" / "baselines" / f"{label}.yaml").write_bytes(text)
    lines, code = contract_gate.judge(repository, changed, date.fromisoformat(TODAY))
    expected = "ERR  v2 GET /v2/changefeed (getChangeFeed) [request-parameter-became-required]"
    assert (code, failures("\n".join(lines))) == (1, [expected])


def test_a_break_of_a_prerelease_is_printed_only(repository, gate):
    edit(repository, "v1.0-prerelease.yaml", (LATEST, "returns: {200: changeEntry}"))
    accept(repository)
    code, said = gate()
    assert (code, failures(said)) == (0, [])
    assert "ERR  v1.0-prerelease GET /v1.0-prerelease/changefeed/latest (getLatestChange)" in said
    assert "does not fail: a prerelease may break" in said


def test_what_passes_in_many_places_is_told_once(repository, gate):
    added = ("      action: {", "      cause: {type: string}\n      action: {")
    edit(repository, "shapes.yaml", added)
    accept(repository)
    code, said = gate()
    assert code == 0
    assert said.count("[response-property-added-to-closed-object]") == len(("v1.0-prerelease", "v1", "v2"))
    assert said.count("(and in 1 more places)") == len(("v1.0-prerelease", "v1", "v2"))


def test_an_addition_passes_once_it_is_accepted(repository, gate):
    with (repository / "versions" / "v2.yaml").open("a", encoding="utf-8") as file:
        file.write(NEW_ROW)
    code, said = gate()
    assert (code, failures(said)) == (1, ["ERR  v2 [baseline-not-fresh]"])
    assert "run `make contract-accept`" in said
    assert "     | INFO GET /v2/series (searchSeries) [operation-added]" in said
    accept(repository)
    code, said = gate()
    assert code == 0
    assert "INFO v2 GET /v2/series (searchSeries) [operation-added]" in said


def test_a_baseline_edited_by_hand_fails(repository, gate):
    edit(repository, "baselines/v2.yaml", ("default: 100\n", "default: 50\n"))
    code, said = gate()
    assert (code, failures(said)) == (1, ["ERR  v2 [baseline-not-fresh]"])
    assert "     | ERR  GET /v2/changefeed (getChangeFeed) [request-parameter-default-changed]" in said


def test_a_baseline_that_differs_in_texts_only_fails_with_the_lines(repository, gate):
    edit(repository, "v2.yaml", ("summary: The newest change", "summary: The last change"))
    code, said = gate()
    assert (code, failures(said)) == (1, ["ERR  v2 [baseline-not-fresh]"])
    assert "     | +      summary: The last change" in said


def test_a_baseline_that_is_no_document_fails(repository, gate):
    (repository / "versions" / "baselines" / "v2.yaml").write_text("a: [", encoding="utf-8")
    code, said = gate()
    assert (code, failures(said)) == (1, ["ERR  v2 [baseline-not-fresh]"])
    assert "the baseline cannot be read as a document" in said


def test_a_baseline_that_is_missing_and_one_that_is_left_over_fail_until_accepted(repository, gate):
    folder = repository / "versions" / "baselines"
    (folder / "v2.yaml").rename(folder / "v9.yaml")
    code, said = gate()
    assert (code, failures(said)) == (1, ["ERR  v2 [baseline-missing]", "ERR  v9 [baseline-left-over]"])
    accept(repository)
    assert gate()[0] == 0


def test_tags_of_a_baseline_in_the_history_need_no_quotes(repository, gate):
    """Baselines were written so once; to YAML 1.2, by which documents are read, 00081190 without them is a number."""
    rows = (ROOT / "versions" / "v2.yaml").read_text(encoding="utf-8").split("\n  - operation: ")
    (store,) = [row for row in rows if row.startswith("storeInstances\n")]
    with (repository / "versions" / "v2.yaml").open("a", encoding="utf-8") as file:
        file.write(f"\n  - operation: {store.rstrip()}\n")
    accept(repository)
    baseline = repository / "versions" / "baselines" / "v2.yaml"
    quoted = baseline.read_text(encoding="utf-8")
    baseline.write_text(yaml.dump(yaml.load(quoted, yaml.CSafeLoader), Dumper=yaml.CSafeDumper), encoding="utf-8")
    assert "- 00081190\n" in baseline.read_text(encoding="utf-8")
    commit(repository)
    edit(repository, "shapes.yaml", ('required: ["00081150", "00081155", "00081190"]', 'required: ["00081150"]'))
    accept(repository)
    code, said = gate()
    assert (code, set(failures(said))) == (
        1,
        {
            f"ERR  v2 POST /v2/{start}studies (storeInstances{end}) [response-property-became-optional]"
            for start, end in (("", ""), ("partitions/{partitionName}/", "InPartition"))
        },
    )


def test_a_new_version_passes_with_a_note(repository, gate):
    folder = repository / "versions"
    text = (folder / "v2.yaml").read_text(encoding="utf-8")
    (folder / "v3.yaml").write_text(text.replace("label: v2", "label: v3"), encoding="utf-8")
    accept(repository)
    code, said = gate()
    assert (code, failures(said)) == (0, [])
    assert "INFO v3 [version-unknown] it is new" in said


def test_an_accepted_break_passes_and_says_who_answers_for_it(repository, gate):
    edit(repository, "v2.yaml", (LATEST, "returns: {200: changeEntry}"))
    edit(repository, "accepted-breaks.yaml", ("accepted: []", f"accepted:{ACCEPTED_LINE}"))
    accept(repository)
    code, said = gate()
    assert (code, failures(said)) == (0, [])
    assert "does not fail: accepted by The board: it never was answered" in said


def test_a_warning_passes_and_an_accepted_break_may_sign_it_off(repository, gate):
    edit(repository, "shapes.yaml", ("      action: {", "      cause: {type: string}\n      action: {"))
    line = ACCEPTED_LINE.replace("response-success-status-removed", "response-property-added-to-closed-object")
    edit(repository, "accepted-breaks.yaml", ("accepted: []", f"accepted:{line}"))
    accept(repository)
    code, said = gate()
    assert (code, failures(said)) == (0, [])
    assert "does not fail: accepted by The board" in said


@pytest.mark.parametrize("other", ["label: v1", "operation: GET /v2/changefeed", "rule: response-error-status-removed"])
def test_an_accepted_break_covers_nothing_else(repository, gate, other):
    key = other.split(":")[0]
    line = "\n".join(
        part.replace(part.strip(" -"), other) if part.strip(" -").startswith(f"{key}:") else part
        for part in ACCEPTED_LINE.split("\n")
    )
    edit(repository, "v2.yaml", (LATEST, "returns: {200: changeEntry}"))
    edit(repository, "accepted-breaks.yaml", ("accepted: []", f"accepted:{line}"))
    accept(repository)
    code, said = gate()
    assert code == 1
    assert failures(said)[0].endswith("(getLatestChange) [response-success-status-removed]")
    assert len(failures(said)) == 1
    assert "[accepted-break-unused]" in said


def test_an_accepted_break_that_excuses_nothing_is_warned_of(repository, gate):
    edit(repository, "accepted-breaks.yaml", ("accepted: []", f"accepted:{ACCEPTED_LINE}"))
    code, said = gate()
    assert (code, failures(said)) == (0, [])
    assert "WARN v2 GET /v2/changefeed/latest [accepted-break-unused]" in said
    assert "accepted-breaks.yaml:2 accepts" in said


def test_an_accepted_break_lapses_after_thirty_days(repository, gate):
    edit(repository, "v2.yaml", (LATEST, "returns: {200: changeEntry}"))
    edit(repository, "accepted-breaks.yaml", ("accepted: []", f"accepted:{ACCEPTED_LINE}"))
    accept(repository)
    assert gate(today="2027-02-14")[0] == 0
    code, said = gate(today="2027-02-15")
    assert (code, len(failures(said))) == (1, 1)
    assert "excuses nothing; it stood until 2027-02-14" in said


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (ACCEPTED_LINE.replace("The board", '""'), "accepted-breaks.yaml:6: the text is empty"),
        (ACCEPTED_LINE.replace("reason", "because"), "accepted-breaks.yaml:5: unknown key 'because'"),
        (ACCEPTED_LINE.replace("GET /v2", "/v2"), "accepted-breaks.yaml:4: '/v2/changefeed/latest' is not a fitting"),
        (ACCEPTED_LINE.rstrip() + ACCEPTED_LINE, "accepted-breaks.yaml:8: the same break is accepted twice"),
        ("", "accepted-breaks.yaml:1: a list is due here"),
    ],
)
def test_a_faulty_list_of_accepted_breaks_cannot_be_judged(repository, gate, text, fault):
    edit(repository, "accepted-breaks.yaml", ("accepted: []", f"accepted:{text}"))
    code, said = gate()
    assert code == 2
    assert fault in said


def test_versions_with_faults_cannot_be_judged(repository, gate):
    edit(repository, "v2.yaml", ("stability: stable", "stability: solid"))
    code, said = gate()
    assert code == 2
    assert "v2.yaml:3" in said
