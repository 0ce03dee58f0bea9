"""Versions are made, announced to go and retired by command, in full or not at all."""

from __future__ import annotations

import difflib
import re
import shutil
import subprocess

import pytest
import yaml

from shared.dev.host.settings import environment
from shared.dev.versions import command as versions
from tests.dev.contract.gate_made import accept, commit, edit, failures
from tests.dev.versions.made import AFTER, LINK, SUNSET, TODAY, complete, held
from tests.support.served import ROOT

NEW = ("new", "--from=v2", "--name=v3.0-prerelease")
DEPRECATE = ("deprecate", "--version=v1", f"--sunset={SUNSET}", "--successor=v2", f"--read-more={LINK}")
RETIRE = ("retire", "--version=v1")


@pytest.fixture(scope="module")
def repository_made_once(repository_made_once, tmp_path_factory):
    return complete(shutil.copytree(repository_made_once, tmp_path_factory.mktemp("versions") / "repository"))


@pytest.fixture
def tree(repository):
    return repository


@pytest.fixture
def command(tree, capsys):
    """A command on the tree: gives back its exit code and all it printed."""

    def run(*arguments, today=TODAY):
        capsys.readouterr()
        code = versions.main([*arguments, "--root", str(tree), "--today", today])
        return code, "".join(capsys.readouterr())

    return run


@pytest.fixture
def refuses(tree, command):
    """Nothing is changed by a command that is refused; gives back what it said."""

    def run(*arguments, today=TODAY):
        before = held(tree)
        code, said = command(*arguments, today=today)
        assert (code, held(tree) == before) == (1, True), said
        return said

    return run


def read(tree, path):
    return (tree / path).read_text(encoding="utf-8")


def changed_lines(before, after):
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line.startswith(("- ", "+ "))]


def test_a_new_version_is_a_copy_with_comments_and_order_and_passes_the_gate(tree, command, gate):
    edit(tree, "v2.yaml", ("behaviours:", "# Why these words: people asked.\nbehaviours:"))
    commit(tree)
    code, said = command(*NEW)
    assert code == 0, said
    before, after = read(tree, "versions/v2.yaml"), read(tree, "versions/v3.0-prerelease.yaml")
    assert set(changed_lines(before, after)) == {
        "- # Everything version 2 serves. A released table is a promise: see README.md before changing a line.",
        "- label: v2",
        "- stability: stable",
        "- released: 2026-11-21",
        "+ # Everything version 3.0-prerelease serves. It may change without notice: see README.md.",
        "+ label: v3.0-prerelease",
        "+ stability: prerelease",
        f"+ released: {TODAY}",
        f"- {next(line for line in before.splitlines() if line.startswith('summary: '))}",
        "+ summary: Starts as version 2 is.",
    }
    assert re.findall(r"^[a-z]+", before, re.MULTILINE) == re.findall(r"^[a-z]+", after, re.MULTILINE)
    code, said = gate()
    assert (code, failures(said)) == (0, [])
    assert "INFO v3.0-prerelease [version-unknown] it is new" in said


def test_a_new_version_is_in_the_changelog_and_in_the_table(tree, command):
    before = read(tree, "versions/README.md")
    assert command(*NEW)[0] == 0
    assert read(tree, "CHANGELOG.md") == (
        "# Changelog\n\n## Unreleased\n\n- One thing.\n"
        f"- `v3.0-prerelease` (prerelease, {TODAY}): starts as `v2` is.\n\n## 0.1\n\n- Another.\n"
    )
    line = (
        "| v2 → v3.0-prerelease | `stability` | stable → prerelease | work in progress: it may change without notice |"
    )
    assert changed_lines(before, read(tree, "versions/README.md")) == [f"+ {line}"]


def test_a_version_from_an_older_one_says_in_the_table_where_its_differences_come_from(tree, command):
    assert command("new", "--from=v1", "--name=v3", "--released=2027-01-01", "--summary=Back: 'to' the roots")[0] == 0
    text = read(tree, "versions/v3.yaml")
    assert text.startswith("# Everything version 3 serves. A released table is a promise")
    assert [yaml.safe_load(text)[key] for key in ("stability", "summary")] == ["stable", "Back: 'to' the roots"]
    assert "released: 2027-01-01\n" in text
    table = read(tree, "versions/README.md")
    assert "| v2 → v3 | `search_return_set` | lean → full | as in v1, which it starts from |" in table


def test_a_prerelease_is_promoted_to_a_stable_version(tree, command, gate):
    assert command(*NEW, "--summary=Faster searches.")[0] == 0
    commit(tree)
    code, said = command("new", "--from=v3.0-prerelease", "--name=v3")
    assert (code, "make deprecate VERSION=v3.0-prerelease" in said) == (0, True)
    promoted = yaml.safe_load(read(tree, "versions/v3.yaml"))
    assert (promoted["stability"], promoted["summary"]) == ("stable", "Faster searches.")
    assert "(stable, 2026-12-02): what `v3.0-prerelease` was." in read(tree, "CHANGELOG.md")
    assert gate()[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from=v2", "--name=v2"), "v2 exists already"),
        (("--from=v2", "--name=v2.0"), "v2.0 is another spelling of v2"),
        (("--from=v2", "--name=v1-prerelease"), "v1-prerelease is another spelling of v1.0-prerelease"),
        (("--from=v2", "--name=3"), "'3' is not a label"),
        (("--from=v2", "--name=../v3"), "'../v3' is not a label"),
        (("--from=v2", "--name="), "'' is not a label"),
        (("--from=v7", "--name=v8"), "there is no version 'v7'"),
        (("--from=v2.0", "--name=v8"), "there is no version 'v2.0'"),
        (("--from=v2", "--name=v3", "--summary=a\nb"), "one line of text"),
    ],
)
def test_a_version_that_cannot_be_made_is_refused(refuses, arguments, said):
    assert said in refuses("new", *arguments)


def test_nothing_starts_from_what_nobody_has_reviewed(tree, command, refuses):
    edit(tree, "v2.yaml", ("summary: The newest change", "summary: The last change"))
    assert "versions/v2.yaml has changes that are not committed" in refuses(*NEW)
    commit(tree)
    assert "versions/baselines/v2.yaml is not what the versions say" in refuses(*NEW)
    assert "make contract-accept" in refuses(*DEPRECATE)
    accept(tree)
    commit(tree)
    assert command(*NEW)[0] == 0
    assert "v3.0-prerelease.yaml has changes that are not committed" in refuses(
        "new", "--from=v3.0-prerelease", "--name=v3"
    )


def test_faulty_version_files_are_told_with_their_line(tree, refuses):
    edit(tree, "v1.yaml", ("stability: stable", "stability: solid"))
    for asked in (NEW, DEPRECATE, RETIRE, ("list",), ("table",)):
        assert "v1.yaml:3" in refuses(*asked)


def test_a_file_without_the_place_for_a_note_is_refused(tree, refuses):
    (tree / "CHANGELOG.md").write_text("# Changelog\n", encoding="utf-8")
    assert "CHANGELOG.md has no part '## Unreleased'" in refuses(*NEW)
    edit(tree, "README.md", ("## Differences between neighbours", "## Others"))
    assert "versions/README.md has no table" in refuses(*NEW)


def test_what_fails_halfway_is_undone(tree, refuses):
    (tree / "versions" / "baselines" / "v3.0-prerelease.yaml").mkdir()
    assert "nothing is changed" in refuses(*NEW)
    assert not (tree / "versions" / "v3.0-prerelease.yaml").exists()


def test_golden_replies_that_cannot_be_recorded_undo_the_rest(tree, refuses, command):
    """The tree has a folder of recordings, and no service to record from."""
    (tree / "tests" / "golden" / "v2").mkdir(parents=True)
    (tree / "tests" / "golden" / "v2" / "one.json").write_text("{}", encoding="utf-8")
    assert "golden replies cannot be recorded" in refuses(*NEW)
    assert command(*NEW, "--no-golden")[0] == 0


def test_a_deprecation_is_one_line_and_passes_the_gate(tree, command, gate):
    before, others = read(tree, "versions/v1.yaml"), held(tree)
    code, said = command(*DEPRECATE)
    assert code == 0, said
    line = f'deprecation: {{announced: {TODAY}, sunset: {SUNSET}, successor: v2, read_more: "{LINK}"}}'
    assert changed_lines(before, read(tree, "versions/v1.yaml")) == ["- deprecation: null", f"+ {line}"]
    for header in ("Deprecation: @1796169600", "Sunset: Fri, 03 Dec 2027 00:00:00 GMT", 'rel="successor-version"'):
        assert header in said
    changed = {path for path, content in held(tree).items() if others.get(path) != content}
    assert changed == {"versions/v1.yaml", "versions/baselines/v1.yaml", "CHANGELOG.md"}
    entry = f"- `v1` is deprecated since {TODAY} and may be gone from {SUNSET} on: move to `v2`, {LINK}"
    assert entry in " ".join(read(tree, "CHANGELOG.md").split())
    assert gate(today=TODAY)[0] == 0


def test_a_sunset_moves_later_and_keeps_the_day_it_was_announced(deprecated, command, refuses, gate):
    assert "[sunset-moved-nearer]" in refuses(*(each.replace(SUNSET, "2027-12-02") for each in DEPRECATE))
    later = [each.replace(SUNSET, "2028-12-02") for each in DEPRECATE]
    assert command(*later, today="2027-06-01")[0] == 0
    assert f"announced: {TODAY}, sunset: 2028-12-02" in read(deprecated, "versions/v1.yaml")
    assert gate(today="2027-06-01")[0] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--sunset": "2027-12-01"}, "364 days from announcement to sunset are too few: stable versions need 365"),
        ({"--version": "v1.0-prerelease", "--sunset": "2027-03-01"}, "89 days from announcement to sunset"),
        ({"--announced": "2026-11-25"}, "[announcement-dated-back]"),
        ({"--announced": "2026-11-20"}, "cannot be announced as deprecated before it is released"),
        ({"--sunset": "2026-12-01"}, "the sunset must come after the announcement"),
        ({"--successor": "v1"}, "'v1' is not another version of this folder"),
        ({"--successor": "v7"}, "'v7' is not another version of this folder"),
        ({"--successor": "v2}"}, "v1.yaml:"),
        ({"--read-more": "http://docs.example/"}, "is no https address"),
        ({"--read-more": 'https://docs.example/", a: "'}, "is no https address"),
        ({"--version": "v9"}, "there is no version 'v9'"),
    ],
)
def test_a_deprecation_that_no_gate_would_take_is_refused(refuses, change, said):
    options = dict(each.split("=", 1) for each in DEPRECATE[1:]) | change
    assert said in refuses("deprecate", *(f"{name}={value}" for name, value in options.items()))


def test_who_is_sent_to_a_deprecated_version_is_told(deprecated, command):
    other = [each.replace("=v1", "=v1.0-prerelease").replace("=v2", "=v1") for each in DEPRECATE]
    assert f"MIND: v1 is deprecated itself and may be gone from {SUNSET} on." in command(*other)[1]


@pytest.fixture(scope="module")
def deprecated_made_once(repository_made_once, tmp_path_factory):
    root = shutil.copytree(repository_made_once, tmp_path_factory.mktemp("deprecated") / "repository")
    assert versions.main([*DEPRECATE, "--root", str(root), "--today", TODAY]) == 0
    commit(root, day=TODAY)
    return root


@pytest.fixture
def deprecated(tree, deprecated_made_once):
    """The tree, with version 1 announced to go in its last commit."""
    shutil.rmtree(tree)
    return shutil.copytree(deprecated_made_once, tree)


def test_a_version_is_retired_after_its_sunset_with_all_that_was_its_own(deprecated, command, gate):
    golden = deprecated / "tests" / "golden" / "v1"
    golden.mkdir(parents=True)
    (golden / "one.json").write_text("{}", encoding="utf-8")
    code, said = command(*RETIRE, today=AFTER)
    assert code == 0, said
    line = f'retired: {{on: {AFTER}, successor: v2, read_more: "{LINK}"}}'
    assert read(deprecated, "versions/v1.yaml") == f"label: v1\n{line}\n"
    assert not golden.exists()
    assert not (deprecated / "versions" / "baselines" / "v1.yaml").exists()
    table = read(deprecated, "versions/README.md")
    assert "| v1.0-prerelease → v2 | `patient_id` | must_have_a_value → must_be_present | an unident" in table
    assert not re.search(r"^\| v1 →|→ v1 \|", table, re.MULTILINE)
    assert f"`v1` is gone since {AFTER} and answers 410: move to `v2`" in read(deprecated, "CHANGELOG.md")
    code, said = gate(today=AFTER)
    assert (code, failures(said)) == (0, [])


@pytest.mark.parametrize(
    ("more", "today", "said"),
    [
        ((), "2027-12-02", f"cannot be gone before its sunset: clients were told they could call it until {SUNSET}"),
        (("--on=2027-12-02",), AFTER, "cannot be gone before its sunset"),
        (("--on=2027-12-05",), AFTER, "today is 2027-12-04"),
    ],
)
def test_a_version_is_not_retired_before_its_time(deprecated, refuses, more, today, said):
    assert said in refuses(*RETIRE, *more, today=today)


def test_a_version_is_not_retired_unannounced(tree, command, refuses):
    assert "v1 was never announced to go: run `make deprecate` first" in refuses(*RETIRE, today=AFTER)
    assert command(*DEPRECATE)[0] == 0
    # What landed last, which is what clients were told, does not have it.
    assert "[version-removed-without-notice]" in refuses(*RETIRE, today=AFTER)


def test_a_sunset_that_was_moved_nearer_by_hand_does_not_help(deprecated, refuses):
    edit(deprecated, "v1.yaml", (SUNSET, "2027-06-01"))
    accept(deprecated)
    assert "[version-removed-before-sunset]" in refuses(*RETIRE, today="2027-06-02")


def test_a_version_that_others_send_clients_to_is_not_retired(deprecated, command, refuses):
    other = ["deprecate", "--version=v1.0-prerelease", f"--sunset={SUNSET}", "--successor=v1", f"--read-more={LINK}"]
    assert command(*other)[0] == 0
    commit(deprecated, day=TODAY)
    assert "v1.0-prerelease names it as successor" in refuses(*RETIRE, today=AFTER)
    assert command("retire", "--version=v1.0-prerelease", today=AFTER)[0] == 0
    commit(deprecated, day=AFTER)
    assert "v1.0-prerelease names it as successor" in refuses(*RETIRE, today=AFTER)
    edit(deprecated, "v1.0-prerelease.yaml", ("successor: v1,", "successor: v2,"))
    assert command(*RETIRE, today=AFTER)[0] == 0


def test_a_retired_label_is_not_used_again_and_nothing_starts_from_it(deprecated, command, refuses):
    assert command(*RETIRE, today=AFTER)[0] == 0
    commit(deprecated, day=AFTER)
    for name in ("v1", "v1.0"):
        assert "v1 was retired, and clients may still call it" in refuses("new", "--from=v2", f"--name={name}")
    assert "v1 was retired: nothing is left of it" in refuses("new", "--from=v1", "--name=v3")
    assert "v1 was retired" in refuses(*DEPRECATE, today=AFTER)
    assert "v1 was retired" in refuses(*RETIRE, today=AFTER)


def test_the_list_tells_how_long_each_version_lives(deprecated, command):
    code, said = command("list", today="2027-12-01")
    rows = [re.split(r" {2,}", line) for line in said.splitlines()]
    assert (code, rows[0]) == (0, list(versions.COLUMNS))
    assert rows[2] == ["v1", "stable, deprecated", "2026-11-21", TODAY, SUNSET, "2", "v2", "3"]
    assert rows[3] == ["v2", "stable", "2026-11-21", "-", "-", "-", "-", "3"]
    assert "  may go  " in command("list", today=SUNSET)[1]
    assert command(*RETIRE, today=AFTER)[0] == 0
    assert re.search(rf"v1 +retired +- +- +gone {AFTER} +- +v2 +0$", command("list")[1], re.MULTILINE)


def test_the_table_gets_what_a_person_changed_and_asks_for_the_reason(tree, command):
    assert command(*NEW)[0] == 0
    edit(tree, "v3.0-prerelease.yaml", ("warned_store_status: accepted_202", "warned_store_status: ok_200"))
    assert command("table") == (0, "versions/README.md: 0 differences have no reason yet\n".replace("0", "1"))
    line = "| v2 → v3.0-prerelease | `warned_store_status` | accepted_202 → ok_200 | "
    path = tree / "versions" / "README.md"
    text = read(tree, "versions/README.md")
    assert f"{line}to be written |" in text
    path.write_text(text.replace("to be written |", "a reason |"), encoding="utf-8")
    assert command("table") == (0, "versions/README.md: every difference has its reason\n")
    assert f"{line}a reason |" in read(tree, "versions/README.md")


def test_sources_without_a_history_can_be_worked_on(tree, command):
    (tree / ".git").rename(tree.parent / "elsewhere")
    assert command(*NEW)[0] == 0
    assert command(*DEPRECATE)[0] == 0


MADE = {
    "new-version": {
        "FROM": "v2",
        "NAME": "v3 $HOME 'a' \"b\"",
        "RELEASED": "2027-01-01",
        "SUMMARY": "It's `id`; or > x",
    },
    "deprecate": {
        "VERSION": "v1",
        "SUNSET": "2028-03-01",
        "SUCCESSOR": "v2",
        "READ_MORE": "https://docs.example/?a=1&b='2'#c",
        "ANNOUNCED": "2027-01-01",
    },
    "retire": {"VERSION": "v1", "ON": "2028-03-01"},
    "versions": {},
}


@pytest.mark.parametrize("target", MADE)
def test_make_hands_on_what_it_is_given_as_it_is(target):
    given = MADE[target]
    command = ["make", "-s", "-o", "setup", target, "VENV_PYTHON=printf '%s\\n'"]
    command += [f"{name}={value.replace('$', '$$')}" for name, value in given.items()]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True, timeout=60)
    names = {"deprecate": "deprecate", "new-version": "new", "retire": "retire", "versions": "list"}
    assert run.stdout.splitlines() == [
        "-m",
        "shared.dev.versions",
        names[target],
        *(f"--{name.lower().replace('_', '-')}={value}" for name, value in given.items()),
    ]
