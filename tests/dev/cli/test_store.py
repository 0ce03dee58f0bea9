"""`dicom store`: real files into the real service, through faults on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from shared.dev.cli import store
from shared.dev.cli.files import Found, look
from shared.dev.host.settings import environment
from tests.dev.cli.made import dicom, folder_of, gateway
from tests.support.clients import DICOM_JSON, made
from tests.support.files import shipped_file, synthetic_instance
from tests.support.served import ROOT

pytestmark = [pytest.mark.azurite, pytest.mark.served]

BUSY = "503 Busy\nRetry-After: 1\n\nCome back later."


def stored(service, study_uid):
    """SOPInstanceUIDs of a study."""
    url = f"{service.url}/v2/studies/{study_uid}/instances"
    answer = httpx.get(url, headers={"Accept": DICOM_JSON}, trust_env=False)
    return {item["00080018"]["Value"][0] for item in answer.json()} if answer.status_code == 200 else set()


def uids(instances):
    return {one.sop_instance_uid for one in instances}


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def outcomes(ran):
    """Outcomes by the name of the file, as programs are told."""
    return {Path(one["file"]).name: one["outcome"] for one in lines(ran.out) if "file" in one}


def posts(gate):
    return sum(line.startswith("POST") for line in gate.requests)


def test_a_folder_is_stored_and_what_is_no_dicom_file_is_skipped(service, tmp_path):
    instances = folder_of(tmp_path / "deep" / "er", 3)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "empty").touch()
    (tmp_path / "deep" / "cut.dcm").write_bytes(instances[0].content[:600])
    ran = dicom("store", tmp_path, "--url", service.url)
    assert ran.code == 1
    assert ran.out.split("\n")[1:] == [
        "already there  0",
        "refused        1",
        "skipped        2 that are no DICOM files",
        "",
    ]
    assert ran.out.startswith("stored         3 (")
    assert f"{tmp_path}/deep/cut.dcm: refused (43264): the data set breaks a rule" in ran.err
    assert "notes.txt" not in ran.both
    assert stored(service, instances[0].study_uid) == uids(instances)


def test_names_of_what_is_skipped_are_told_to_who_asks(service, tmp_path):
    folder_of(tmp_path, 1)
    (tmp_path / "notes.txt").write_text("nothing")
    ran = dicom("store", tmp_path, "--url", service.url, "-v")
    assert (ran.code, f"{tmp_path}/notes.txt: skipped: no DICOM file" in ran.err) == (0, True)


def test_what_is_stored_already_is_no_fault(service, tmp_path):
    instances = folder_of(tmp_path, 2)
    assert dicom("store", tmp_path / "0.dcm", "--url", service.url).code == 0
    ran = dicom("store", tmp_path, "--url", service.url, "--json")
    assert (ran.code, outcomes(ran)) == (0, {"0.dcm": "there", "1.dcm": "stored"})
    assert lines(ran.out)[-1]["summary"]["there"] == 1
    assert stored(service, instances[0].study_uid) == uids(instances)


def test_bytes_that_are_stored_are_those_of_the_file(service, tmp_path):
    """A file from a scanner, with all that is odd about it."""
    path = shipped_file("MR_small_padded.dcm")
    assert dicom("store", path, "--url", service.url, "-q").both == ""
    study = "1.3.6.1.4.1.5962.1.2.4.20040826185059.5457"
    assert dicom("get", study, "--to", tmp_path, "--url", service.url, "-q").code == 0
    assert path.read_bytes() in {file.read_bytes() for file in tmp_path.rglob("*.dcm")}


def test_warnings_are_told_with_the_attributes_they_are_about(service, tmp_path):
    (tmp_path / "odd.dcm").write_bytes(made().content.replace(b"20240229", b"2024some"))
    ran = dicom("store", tmp_path, "--url", service.url)
    assert ran.code == 0
    assert "odd.dcm: warned (1): values break the rules" in ran.err
    assert "(0008,0020)" in ran.err
    assert "2024some" not in ran.both
    refused = dicom("store", tmp_path, "--url", service.url, "--api-version", "v1")
    assert refused.code == 1


def test_the_fate_of_each_file_is_told_when_the_report_names_other_uids(service, tmp_path):
    """File meta information may say another UID than the data set; the report names the latter."""
    one, two = folder_of(tmp_path, 2)
    uid = one.sop_instance_uid
    other = uid[:-1] + ("2" if uid.endswith("1") else "1")
    changed = one.content.replace(uid.encode(), other.encode(), 1)
    (tmp_path / "0.dcm").write_bytes(changed)
    (tmp_path / "2.dcm").write_bytes(changed[:-200])
    (tmp_path / "3.dcm").write_bytes(two.content)
    ran = dicom("store", tmp_path, "--url", service.url, "--json", "--parallel", 1)
    found = outcomes(ran)
    assert found == {"0.dcm": "stored", "1.dcm": "stored", "2.dcm": "refused", "3.dcm": "there"}
    assert stored(service, two.study_uid) == uids([one, two])


def test_a_file_that_goes_again_to_find_out_about_it_counts_as_stored(service, tmp_path):
    one, two = folder_of(tmp_path, 2)
    uid = one.sop_instance_uid
    other = uid[:-1] + ("2" if uid.endswith("1") else "1")
    (tmp_path / "0.dcm").write_bytes(one.content.replace(uid.encode(), other.encode(), 1))
    (tmp_path / "1.dcm").write_bytes(two.content[:-200])
    with gateway(service.url) as gate:
        ran = dicom("store", tmp_path, "--url", gate.url, "--json")
        assert posts(gate) == 3  # together, and each alone
    assert outcomes(ran) == {"0.dcm": "stored", "1.dcm": "refused"}
    assert stored(service, two.study_uid) == uids([one])


def test_a_busy_service_is_asked_again_when_it_wants_to_be(service, tmp_path):
    instances = folder_of(tmp_path, 2)
    with gateway(service.url, "pass", BUSY) as gate:
        began = time.monotonic()
        ran = dicom("store", tmp_path, "--url", gate.url, "-v")
        assert time.monotonic() - began >= 1
        assert (ran.code, posts(gate)) == (0, 2)
        assert "The service is busy (503): Come back later" in ran.err
    assert stored(service, instances[0].study_uid) == uids(instances)


@pytest.mark.parametrize("fault", ["drop", "lose"])
def test_a_connection_that_breaks_is_followed_by_another_one(service, tmp_path, fault):
    instances = folder_of(tmp_path, 2)
    with gateway(service.url, "pass", fault) as gate:
        ran = dicom("store", tmp_path, "--url", gate.url, "--json")
        assert (ran.code, posts(gate)) == (0, 2)
    assert set(outcomes(ran).values()) == {"stored" if fault == "drop" else "there"}
    assert stored(service, instances[0].study_uid) == uids(instances)


def test_a_service_that_stays_busy_ends_the_command(service, tmp_path):
    folder_of(tmp_path, 1)
    with gateway(service.url, "pass", "429 Slow\n\nNot so fast.", "429 Slow\n\nNot so fast.") as gate:
        ran = dicom("store", tmp_path, "--url", gate.url, "--tries", 2)
    assert (ran.code, ran.err) == (3, "dicom: The service is busy (429): Not so fast. Tried 2 times.\n")


def test_requests_that_are_too_long_are_halved(service, tmp_path):
    instances = folder_of(tmp_path, 4)
    with gateway(service.url, "pass", "413 Large\n\n", "413 Large\n\n") as gate:
        ran = dicom("store", tmp_path, "--url", gate.url, "--json")
        assert (ran.code, posts(gate)) == (0, 5)  # four, two, one and one, and the other two
    assert stored(service, instances[0].study_uid) == uids(instances)


def test_a_file_that_is_too_long_is_told_with_a_way_out(service, tmp_path):
    folder_of(tmp_path, 1)
    with gateway(service.url, "pass", "413 Large\n\n") as gate:
        ran = dicom("store", tmp_path, "--url", gate.url)
    assert (ran.code, "`dicom import` takes files of any length" in ran.err) == (1, True)


def test_a_command_that_was_killed_goes_on_by_its_journal(service, tmp_path):
    scans, journal = tmp_path / "scans", tmp_path / "journal"
    instances = folder_of(scans, 4)
    options = ["store", str(scans), "--journal", str(journal), "--files", "1", "--parallel", "1"]
    with gateway(service.url, "pass", "pass", "pass", "hold") as gate:
        command = [sys.executable, "-m", "shared.dev.cli", *options, "--url", gate.url]
        with subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL) as process:
            assert gate.held.wait(60)
            process.send_signal(signal.SIGKILL)
        gate.release.set()
        assert len(journal.read_text().splitlines()) == 2
        assert journal.stat().st_mode & 0o077 == 0
        before = posts(gate)
        ran = dicom(*options, "--url", gate.url, "--json")
        assert (ran.code, posts(gate) - before) == (0, 2)
    assert sorted(outcomes(ran).values()) == ["known", "known", "stored", "stored"]
    assert stored(service, instances[0].study_uid) == uids(instances)


def test_an_interrupted_command_says_how_to_go_on(service, tmp_path):
    folder_of(tmp_path / "scans", 2)
    with gateway(service.url, "pass", "pass", "hold") as gate:
        command = [sys.executable, "-m", "shared.dev.cli", "store", str(tmp_path / "scans"), "--files", "1"]
        command += ["--parallel", "1", "--url", gate.url]
        with subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True) as process:
            assert gate.held.wait(60)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "The same command goes on where this one ended. --journal FILE remembers" in said
    assert "Traceback" not in said


def test_a_file_that_changes_meanwhile_does_not_keep_others_from_being_stored(service, tmp_path, monkeypatch):
    instances = folder_of(tmp_path, 3)

    def look_and_empty(path):
        found = look(path)
        if path.name == "1.dcm":
            path.write_bytes(b"")
        return found

    # Only the moment is chosen here; what follows is what happens.
    monkeypatch.setattr(store, "look", look_and_empty)
    ran = dicom("store", tmp_path, "--url", service.url, "--json")
    assert (ran.code, outcomes(ran)) == (1, {"0.dcm": "stored", "1.dcm": "unreadable", "2.dcm": "stored"})
    assert stored(service, instances[0].study_uid) == uids([instances[0], instances[2]])


def test_a_folder_without_dicom_files_is_a_fault(service, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    ran = dicom("store", tmp_path, "--url", service.url)
    assert (ran.code, ran.err) == (1, "There is no DICOM file to send.\n")


def test_who_looks_at_a_terminal_sees_a_bar(service, tmp_path):
    folder_of(tmp_path, 1)
    shown = dicom("store", tmp_path, "--url", service.url, terminal=True)
    assert (shown.code, "Storing" in shown.err) == (0, True)
    assert "Storing" not in dicom("store", tmp_path, "--url", service.url).both


async def test_a_long_file_is_read_piece_by_piece(tmp_path):
    """3 GB that take no room on the disk."""
    path = tmp_path / "slide.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM")
    os.truncate(path, 3_000_000_000)

    class Bar:
        moved = 0.0

        def advance(self, amount):
            self.moved += amount

        def reach(self, done, total=None):
            raise AssertionError("the bar of a body only moves")

    bar = Bar()
    body = store._Body([Found(path, 3_000_000_000, 0, "")], bar)
    assert 3_000_000_000 < int(body.headers["Content-Length"]) < 3_000_001_000
    async with aclosing(body.chunks()) as chunks:
        sizes = [len(await anext(chunks)) for _ in range(20)]
    assert max(sizes) == 1 << 20
    assert bar.moved >= 18 << 20
    body.rewind()
    assert bar.moved == 0


@pytest.mark.slow
def test_memory_does_not_depend_on_the_length_of_a_file(service, tmp_path):
    peaks = []
    for megabytes in (1, 150):
        path = tmp_path / f"{megabytes}.dcm"
        path.write_bytes(synthetic_instance(pixel_bytes=megabytes * 1_000_000))
        arguments = ["store", str(path), "--url", service.url]
        # The peak since the program began, not that of the process that started it.
        script = (
            "import sys; from pathlib import Path; from shared.dev.cli import command; "
            "code = command.main(sys.argv[1:]); "
            "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]); sys.exit(code)"
        )
        command = [sys.executable, "-c", script, *arguments, "--quiet"]
        ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
        peaks.append(int(ran.stdout))
    assert peaks[1] - peaks[0] < 20_000, f"KiB: {peaks}"


def test_a_file_longer_than_the_service_takes_is_refused_without_being_sent(service, tmp_path):
    """The limit of the service itself, met by a file that takes no room on the disk."""
    for name, instance in (("long.dcm", made()), ("longer.dcm", made())):
        (tmp_path / name).write_bytes(instance.content)
        os.truncate(tmp_path / name, 250_000_000)
    short = folder_of(tmp_path / "short", 1)
    began = time.process_time()
    ran = dicom("store", tmp_path, "--url", service.url, "--json", "--parallel", 1)
    assert time.process_time() - began < 2
    assert (ran.code, outcomes(ran)) == (1, {"long.dcm": "refused", "longer.dcm": "refused", "0.dcm": "stored"})
    assert "`dicom import` takes files of any length" in ran.out
    assert stored(service, short[0].study_uid) == uids(short)
