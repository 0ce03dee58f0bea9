"""What the `dicom` command takes for a DICOM file, what it remembers, and how it makes requests of files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from shared.dev.cli.files import Found, Journal, PassedOver, look, total, walk
from shared.dev.cli.report import Fate, Outcome, attributed
from shared.dev.cli.screen import Ended, size_text
from shared.dev.cli.store import Limits, batches
from tests.support.clients import made
from tests.support.files import readable_files, shipped_file, sound_files

WIDE = Limits(files=50, size_bytes=1 << 30, requests=4)


def file(name, size_bytes=10, uid=None):
    return Found(Path(name), size_bytes, 1, name if uid is None else uid)


def names(batch):
    return [one.path.name for one in batch]


def test_the_uid_of_every_real_file_is_read_from_its_first_bytes():
    import pydicom

    for path in sound_files():
        meta = pydicom.filereader.read_file_meta_info(path)
        found = look(path)
        if meta.get("MediaStorageSOPClassUID") == "1.2.840.10008.1.3.10":
            assert isinstance(found, PassedOver)
            assert not found.fault
        else:
            assert isinstance(found, Found), path
            assert found.sop_instance_uid == str(meta.get("MediaStorageSOPInstanceUID", "")), path


def test_a_directory_of_other_files_is_passed_over():
    directories = [path for path in readable_files() if path.name.startswith("DICOMDIR")]
    assert directories
    for path in directories:
        assert look(path) == PassedOver(path, path.stat().st_size, "a directory of other files (DICOMDIR)")


@pytest.mark.parametrize("content", [b"", b"DICM", b"\0" * 200, b"\0" * 128 + b"dicm"])
def test_a_file_without_the_preamble_is_none(tmp_path, content):
    """PS3.10 §7.1."""
    path = tmp_path / "a"
    path.write_bytes(content)
    assert look(path) == PassedOver(path, len(content), "no DICOM file")


@pytest.mark.parametrize("length", range(132, 400, 7))
def test_a_file_that_ends_in_its_meta_information_is_found_all_the_same(tmp_path, length):
    """The service says what is wrong with it."""
    path = tmp_path / "a"
    path.write_bytes(shipped_file("CT_small.dcm").read_bytes()[:length])
    assert isinstance(look(path), Found)


def test_a_file_that_is_gone_is_a_fault(tmp_path):
    found = look(tmp_path / "gone")
    assert isinstance(found, PassedOver)
    assert (found.fault, found.why) == (True, "cannot be read: No such file or directory")


def test_folders_are_walked_in_order_and_pipes_are_left_alone(tmp_path):
    for name in ("b/2", "b/1", "a/3", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [str(path.relative_to(tmp_path)) for path, _ in walk([tmp_path])]
    assert found == ["c", "a/3", "b/1", "b/2"]
    assert total([tmp_path, tmp_path / "c"]) == (5, 11)


def test_batches_keep_to_every_limit():
    files = [file(str(number), 10) for number in range(10)]
    assert [names(one) for one in batches(files, Limits(4, 1000, 1))] == [list("0123"), list("4567"), list("89")]
    assert [len(one) for one in batches(files, Limits(50, 30, 1))] == [3, 3, 3, 1]


def test_a_file_longer_than_a_batch_goes_alone():
    files = [file("a"), file("long", 5000), file("b")]
    assert [names(one) for one in batches(files, Limits(50, 1000, 1))] == [["a"], ["long"], ["b"]]


def test_an_instance_is_in_a_batch_once():
    files = [file("a", uid="1.2"), file("b", uid="1.3"), file("c", uid="1.2"), file("d", uid="1.4")]
    assert [names(one) for one in batches(files, WIDE)] == [["a", "b"], ["c", "d"]]


def item(uid, **codes):
    tags = {"failure": "00081197", "warning": "00081196"}
    values = {"00081155": uid, **{tags[name]: code for name, code in codes.items()}}
    return {tag: {"vr": "UI", "Value": [value]} for tag, value in values.items() if value is not None}


def report(stored=(), failed=()):
    return {"00081199": {"vr": "SQ", "Value": list(stored)}, "00081198": {"vr": "SQ", "Value": list(failed)}}


def told(files, content):
    return {place: (fate.outcome.value, fate.code) for place, fate in attributed(files, content).fates.items()}


def test_fates_go_by_uid_whatever_the_order():
    files = [file("1.1"), file("1.2"), file("1.3")]
    content = report([item("1.3"), item("1.1", warning=1)], [item("1.2", failure=45070)])
    assert told(files, content) == {0: ("warned", 1), 1: ("there", 45070), 2: ("stored", None)}


def test_a_file_without_uid_in_the_report_is_the_one_that_is_left():
    files = [file("1.1"), file("1.2")]
    assert told(files, report([item("1.1")], [item(None, failure=43264)]))[1] == ("refused", 43264)


def test_what_cannot_be_told_apart_is_left_open():
    files = [file("1.1"), file("1.2"), file("1.3")]
    content = report([item("1.1"), item("9.9")], [item(None, failure=43264)])
    assert told(files, content) == {0: ("stored", None)}
    assert {uid: fate.outcome for uid, fate in attributed(files, content).left.items()} == {"9.9": Outcome.STORED}


def test_files_that_share_their_fate_need_not_be_told_apart():
    files = [file("1.1"), file("1.2")]
    content = report([], [item(None, failure=43264), item(None, failure=43264)])
    assert told(files, content) == {0: ("refused", 43264), 1: ("refused", 43264)}


@pytest.mark.parametrize("content", [None, [], {}, {"00081199": {}}, {"00081199": {"Value": None}}, "text"])
def test_a_report_that_says_nothing_tells_no_fate(content):
    assert attributed([file("1.1")], content).fates == {}


@pytest.mark.parametrize("code", [1, 290, 42800, 43264, 43265, 43300, 45071, 49442, 50000, None, "odd"])
def test_every_reason_has_words(code):
    (fate,) = attributed([file("1.1")], report([], [item("1.1", failure=code)])).fates.values()
    assert isinstance(fate, Fate)
    assert fate.outcome is Outcome.REFUSED
    assert fate.words


def test_a_journal_remembers_what_was_stored_where(tmp_path):
    path = tmp_path / "journal"
    one, two = file("one"), file("two")
    with Journal(path, "here") as journal:
        assert not journal.has(one)
        journal.add(one)
        assert journal.has(one)
    with Journal(path, "here") as journal:
        assert journal.has(one)
        assert not journal.has(two)
        assert not journal.has(Found(one.path, one.size_bytes, 2, one.sop_instance_uid))
    with Journal(path, "elsewhere") as journal:
        assert not journal.has(one)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_journal_goes_on_behind_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "journal"
    files = [file(str(number)) for number in range(3)]
    with Journal(path, "here") as journal:
        journal.add(files[0])
        journal.add(files[1])
    path.write_bytes(path.read_bytes()[:-9])
    with Journal(path, "here") as journal:
        assert [journal.has(one) for one in files] == [True, False, False]
        journal.add(files[2])
    with Journal(path, "here") as journal:
        assert [journal.has(one) for one in files] == [True, False, True]


def test_a_journal_of_something_else_is_no_harm(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b'[1]\n{"place": 3}\n\xff\xfe\n"text"\n')
    with Journal(path, "here") as journal:
        assert not journal.has(file("one"))


def test_a_journal_that_cannot_be_written_ends_the_command(tmp_path):
    with pytest.raises(Ended, match="--journal"):
        Journal(tmp_path, "here")


def test_a_real_file_is_known_again_until_it_changes(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(made().content)
    with Journal(tmp_path / "journal", "here") as journal:
        before = look(path)
        assert isinstance(before, Found)
        journal.add(before)
        assert journal.has(before)
        os.utime(path, ns=(1, 1))
        after = look(path)
        assert isinstance(after, Found)
        assert not journal.has(after)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_500_000, "1.5 MB"),
        (3 * 10**12, "3.0 TB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_sizes_are_written_for_people(size_bytes, text):
    assert size_text(size_bytes) == text
