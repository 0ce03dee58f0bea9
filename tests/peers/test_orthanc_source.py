"""`dicom copy` from Orthanc: another server, other people's code, real files."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from shared.dev.cli.copy_source import is_uid
from shared.dev.host.settings import environment
from tests.dev.cli.made import dicom
from tests.peers.made import Held, bytes_of, held_by
from tests.support.served import ROOT, started
from tests.support.storage import fresh_account


def listed_uids(held):
    return {one.instance for one in held}


def wanted(orthanc):
    """What can be copied. Orthanc makes up UIDs where a file has none, and they are no UIDs."""
    return [one for one in held_by(orthanc.dicom_web) if is_uid(one.study)]


@pytest.fixture(scope="module")
def copied(orthanc, ours):
    """The first copy: what it told, instance by instance, and at its end."""
    return copy(orthanc, ours)


def copy(orthanc, service, *options):
    ran = dicom("copy", orthanc.dicom_web, "--to", service.url, "--verify", "--json", *options)
    *fates, instances, _ = map(json.loads, ran.out.splitlines())
    return ran.code, fates, instances["summary"]


def refused(fates):
    return {fate["file"].rpartition("/")[2]: fate["reason"] for fate in fates if fate.get("outcome") == "refused"}


def test_every_instance_is_there_as_orthanc_has_it(orthanc, ours, copied):
    """Byte for byte, in every transfer syntax; but for those without PatientID, which the service refuses (43264)."""
    _, fates, summary = copied
    wanted_here, there = wanted(orthanc), held_by(f"{ours.url}/v2")
    missing = listed_uids(wanted_here) - listed_uids(there)
    assert len(there) == summary["stored"] + summary["warned"] > 100
    assert listed_uids(there) <= listed_uids(wanted_here)
    assert refused(fates) == dict.fromkeys(missing, 43264)
    assert len(missing) < 10
    different = [one for one in there if bytes_of(f"{ours.url}/v2", one) != bytes_of(orthanc.dicom_web, one)]
    assert different == []


def test_what_is_missing_in_the_end_is_said(copied):
    code, fates, summary = copied
    assert code == 1
    assert summary["refused"] == len(refused(fates)) > 0


def test_a_second_run_stores_nothing(orthanc, ours, copied, tmp_path):
    _, _, first = copied
    _, _, second = copy(orthanc, ours, "--journal", tmp_path / "journal")
    none = {"stored": 0, "warned": 0}
    assert second == {**second, **none, "there": first["stored"] + first["warned"]}
    _, _, third = copy(orthanc, ours, "--journal", tmp_path / "journal")
    assert third == {**third, **none}


def test_a_copy_that_was_killed_is_taken_up(orthanc, ours, copied, azurite, tmp_path):
    """Killed by the system, so that nothing is tidied up; the same command goes on."""
    journal = tmp_path / "journal"
    with started({"DICOM_STORAGE": fresh_account(azurite.connection_string)}) as fresh:
        command = [sys.executable, "-m", "shared.dev.cli", "copy", orthanc.dicom_web, "--to", fresh.url]
        process = subprocess.Popen(
            [*command, "--journal", str(journal), "--parallel", "1", "--quiet"],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            begun = _some_of(fresh.url, process)
        finally:
            process.kill()
            process.wait()
        every = listed_uids(held_by(f"{ours.url}/v2"))
        assert 0 < len(begun) < len(every)
        copy(orthanc, fresh, "--journal", journal)
        assert listed_uids(held_by(f"{fresh.url}/v2")) == every
    assert journal.stat().st_mode & 0o077 == 0


def _some_of(url: str, process: subprocess.Popen[bytes]) -> list[Held]:
    """What is there as soon as anything is."""
    until = time.monotonic() + 60
    while not (begun := held_by(f"{url}/v2")):
        assert process.poll() is None, "the copy has ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.05)
    return begun


def test_a_study_is_copied_on_its_own(orthanc, azurite):
    study = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
    with started({"DICOM_STORAGE": fresh_account(azurite.connection_string)}) as fresh:
        code, _, summary = copy(orthanc, fresh, "--studies", study)
        assert (code, summary["stored"]) == (0, 1)
        assert [one.study for one in held_by(f"{fresh.url}/v2")] == [study]
