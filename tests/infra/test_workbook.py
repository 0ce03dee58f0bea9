"""The workbook is made of the queries of docs/operating.md, and a fault in it is found before Azure is asked."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from shared.dev.infra import command as infra
from shared.dev.infra import workbook as made
from shared.dev.infra.source import read_all

PAGE = made.PAGE.read_text(encoding="utf-8")
TEXT = (infra.FOLDER / made.FILE).read_text(encoding="utf-8")
BOOK = json.loads(TEXT)
SHOWN = [item["content"] for item in BOOK["items"] if item["type"] == 3]
REPLACED = re.compile(r"replace\(\w+, '([^']+)', (.+)\)$", re.MULTILINE)
PARAMETERS = {
    each["name"]: each for item in BOOK["items"] if item["type"] == 9 for each in item["content"]["parameters"]
}


def changed(change):
    """The workbook's text with a change."""
    book = json.loads(TEXT)
    change(book)
    return json.dumps(book)


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(infra.FOLDER, tmp_path / "infra")


def found(folder, page=made.PAGE):
    return [each.text for each in made.workbook_findings(read_all(folder), page)]


def test_the_workbook_is_what_the_page_says():
    assert made.workbook(PAGE) == TEXT, "python -m shared.dev.infra workbook writes it anew"
    assert list(made.faults(TEXT)) == []


def test_the_workbook_answers_what_an_operator_asks():
    titles = " / ".join(content["title"] for content in SHOWN)
    for about in ("version and client", "versions that are to end", "Errors by operation", "Slow operations",
                  "costs in storage", "long work", "503"):  # fmt: skip
        assert about in titles
    assert "study" not in titles


def test_versions_that_are_to_end_are_chosen_from_those_that_were_called():
    asked = [content["query"] for content in SHOWN if "dynamic([{Ending}])" in content["query"]]
    assert len(asked) == 3
    assert "['v1']" not in TEXT
    ending = PARAMETERS["Ending"]
    assert (ending["multiSelect"], ending["quote"], ending["value"]) == (True, "'", made.ENDING_MARK)


def test_every_query_is_asked_of_the_workspace_for_the_chosen_time():
    for content in [*SHOWN, PARAMETERS["Ending"]]:
        assert content["timeContextFromParameter"] == "TimeRange"
        assert content["crossComponentResources"] == [made.WORKSPACE_MARK]
        assert "ago(" not in content["query"]


@pytest.mark.parametrize("labels", [[], ["v1", "v1.0-prerelease"]], ids=("none", "two"))
def test_what_bicep_fills_in_makes_a_workbook(labels):
    """Each `replace` of the module, with the marks as they are written there; `string` of a list is JSON."""
    given = {"workspaceId": "/subscriptions/x/workspaces/y", "string(endingVersions)": json.dumps(labels)}
    text = TEXT
    for mark, value in REPLACED.findall((infra.FOLDER / "modules" / "workbook.bicep").read_text()):
        assert mark in text
        text = text.replace(mark, given.pop(value))
    assert (given, "@@" in text) == ({}, False)
    assert list(made.faults(text)) == []
    (ending,) = [each for each in json.loads(text)["items"][1]["content"]["parameters"] if each["name"] == "Ending"]
    assert ending["value"] == labels


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda book: book.update(version="Notebook/2.0"), "is no workbook"),
        (lambda book: book.update(items={}), "is no workbook"),
        (lambda book: book.update(items=[]), "items are objects, and there are some"),
        (lambda book: book["items"].append("text"), "items are objects"),
        (lambda book: book["items"][3].pop("name"), "every item has a name of its own"),
        (lambda book: book["items"][3].update(name="introduction"), "every item has a name of its own"),
        (lambda book: book["items"][3].update(type=10), "an item is of type 1 or 3 or 9"),
        (lambda book: book["items"][3].update(content="text"), "an item is of type"),
        (lambda book: book["items"][0]["content"].update(json=1), "a text is Markdown"),
        (lambda book: book["items"][1]["content"].update(version="1"), "parameters have version"),
        (lambda book: book["items"][1]["content"].update(parameters=[]), "there are no parameters"),
        (lambda book: book["items"][1]["content"]["parameters"][0].update(id="x"), "TimeRange has no id"),
        (lambda book: book["items"][1]["content"]["parameters"][0].update(type=7), "TimeRange is a text"),
        (lambda book: book["items"][1]["content"]["parameters"].pop(1), "there is no parameter Ending"),
        (lambda book: book["items"][1]["content"]["parameters"].pop(0), "there is no parameter TimeRange"),
        (lambda book: book["items"][1]["content"]["parameters"][1].update(query=""), "a query has a text"),
        (lambda book: book["items"][2]["content"].update(version="1"), "a query has version KqlItem/1.0"),
        (lambda book: book["items"][2]["content"].update(visualization="tiles"), "a query is shown as"),
        (
            lambda book: book["items"][2]["content"].update(query="AppTraces | take {Most}"),
            "there is no parameter Most",
        ),
        (lambda book: book["items"][2]["content"].update(queryType=1), "a query asks a workspace"),
    ],
)
def test_a_fault_in_a_workbook_is_found(change, fault):
    assert [each for each in made.faults(changed(change)) if fault in each]


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '"a"', "null"])
def test_what_is_no_workbook_at_all_is_a_finding(text):
    assert len(list(made.faults(text))) == 1


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("modules/workbook.bicep", "'../workbook.json'", "'../workbooks.json'", "there is no ../workbooks.json to be"),
        ("modules/workbook.bicep", "'../workbook.json'", "'../${location}.json'", "there is no file with such a name"),
        ("modules/workbook.bicep", "'@@WORKSPACE@@'", "'@@LOGS@@'", "nothing takes the place of @@WORKSPACE@@"),
        ("modules/workbook.bicep", "'@@WORKSPACE@@'", "'@@LOGS@@'", "../workbook.json has no @@LOGS@@"),
        ("workbook.json", "Notebook/1.0", "Notebook/9", "../workbook.json: is no workbook"),
        ("workbook.json", "Errors by operation", "Errors", "python -m shared.dev.infra workbook"),
    ],
)
def test_a_fault_of_what_bicep_loads_is_found(folder, file, old, new, fault):
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert [each for each in found(folder) if fault in each]


def test_a_query_that_changes_on_the_page_makes_the_workbook_stale(tmp_path):
    page = tmp_path / "operating.md"
    page.write_text(PAGE.replace("order by Requests desc", "order by Requests asc"))
    assert found(infra.FOLDER, page) == [
        "../workbook.json is not what the page says: python -m shared.dev.infra workbook"
    ]


def test_the_command_writes_the_workbook(folder, monkeypatch, capsys):
    (folder / made.FILE).unlink()
    monkeypatch.setattr(infra, "FOLDER", folder)
    assert infra.main(["workbook"]) == 0
    assert (folder / made.FILE).read_text() == TEXT
    assert "workbook.json is written" in capsys.readouterr().out
