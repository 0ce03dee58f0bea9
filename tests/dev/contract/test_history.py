"""The gate compares with what landed, whatever the clone has of it, and says what that is."""

from __future__ import annotations

import shutil

from tests.dev.contract.gate_made import LATEST, accept, commit, edit, git


def test_a_branch_is_compared_with_where_it_left_main(repository, gate):
    git(repository, "switch", "--quiet", "--create", "branch")
    edit(repository, "v2.yaml", (LATEST, "returns: {200: changeEntry}"))
    accept(repository)
    commit(repository)
    commit(repository)
    code, said = gate()
    assert code == 1
    assert "the merge base of HEAD and main" in said


def test_main_as_it_landed_goes_before_the_local_one(repository, gate):
    git(repository, "update-ref", "refs/remotes/origin/main", "HEAD")
    edit(repository, "v2.yaml", (LATEST, "returns: {200: changeEntry}"))
    accept(repository)
    commit(repository)
    commit(repository)
    code, said = gate()
    assert code == 1
    assert "the merge base of HEAD and origin/main" in said


def test_what_just_landed_on_main_is_compared_with_its_first_parent(repository, gate):
    edit(repository, "v2.yaml", (LATEST, "returns: {200: changeEntry}"))
    accept(repository)
    assert "HEAD, because HEAD is part of main" in gate()[1]
    commit(repository)
    code, said = gate()
    assert code == 1
    assert "the first parent of HEAD, because HEAD is part of main and nothing is changed since" in said


def test_a_revision_can_be_asked_for(repository, gate):
    git(repository, "tag", "released")
    edit(repository, "v2.yaml", (LATEST, "returns: {200: changeEntry}"))
    accept(repository)
    commit(repository)
    commit(repository)
    assert gate()[0] == 0
    code, said = gate(base="released")
    assert code == 1
    assert "released, as asked for" in said
    code, said = gate(base="nowhere")
    assert (code, said) == (2, "contract: the history has no commit 'nowhere'\n")


def test_a_shallow_clone_says_what_it_cannot_see(repository, gate, tmp_path):
    git(repository, "switch", "--quiet", "--create", "branch")
    commit(repository)
    clone = tmp_path / "one"
    git(repository, "clone", "--quiet", "--depth", "1", f"file://{repository}", str(clone))
    code, said = gate(clone)
    assert code == 0
    assert "HEAD ITSELF, because this clone is shallow: what HEAD changed is not seen" in said
    clone = tmp_path / "two"
    git(repository, "clone", "--quiet", "--depth", "1", "--no-single-branch", f"file://{repository}", str(clone))
    code, said = gate(clone)
    assert code == 0
    assert "the tip of origin/main, because no merge base is known (this clone is shallow)" in said


def test_sources_without_history_say_that_nothing_was_compared(repository, gate):
    shutil.rmtree(repository / ".git")
    code, said = gate()
    assert code == 0
    assert "COMPARED WITH NOTHING" in said
    edit(repository, "v2.yaml", (LATEST, "returns: {200: changeEntry}"))
    assert gate()[0] == 1


def test_a_history_that_cannot_be_read_is_no_yes(repository, gate):
    (repository / ".git" / "HEAD").write_text("nothing of the kind", encoding="utf-8")
    code, said = gate()
    assert code == 2
    assert said.startswith("contract: git ")
