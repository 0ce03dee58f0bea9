"""`dicom copy`: real files between real stores, and from servers with habits of their own."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys

import httpx
import pytest

from shared.dev.cli.copy_source import TOKEN
from shared.dev.host.settings import environment
from tests.dev.cli.copy_made import BASE, copy, some, source, summed, there, uids
from tests.dev.cli.made import dicom, gateway
from tests.dev.cli.test_docs import AN_ID, ANY_ID, rerun
from tests.support import pages
from tests.support.clients import DICOM_JSON, made, related, related_type
from tests.support.files import shipped_file
from tests.support.served import ROOT, started
from tests.support.storage import fresh_account

WHERE = "docs/coming-from-microsoft.md"
GUIDE = pages.text_of(WHERE)

pytestmark = [pytest.mark.azurite, pytest.mark.served]


@pytest.fixture(scope="module")
def parted(azurite):
    """A service with data partitions."""
    account = fresh_account(azurite.connection_string)
    with started({"DICOM_STORAGE": account, "DICOM_DATA_PARTITIONS": "on"}) as running:
        yield running


def put(root, files):
    answer = httpx.post(
        f"{root}/studies",
        content=related(files),
        headers={"Content-Type": related_type(), "Accept": DICOM_JSON},
        trust_env=False,
    )
    assert answer.status_code in (200, 202)


def test_a_partition_is_copied_into_another_one_as_it_is_stored(parted, tmp_path):
    files = [shipped_file(name).read_bytes() for name in ("CT_small.dcm", "MR_small_padded.dcm", "JPEG2000.dcm")]
    put(f"{parted.url}/v2/partitions/here", files)
    options = ["--source-partition", "here", "--partition", "there", "--verify"]
    ran = copy(parted, f"{parted.url}/v2", *options)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "studies        3")
    assert ran.out.splitlines()[1].startswith("stored         3 (")
    study = "1.3.6.1.4.1.5962.1.2.4.20040826185059.5457"
    dicom("get", study, "--to", tmp_path, "--url", parted.url, "--partition", "there")
    assert {file.read_bytes() for file in tmp_path.rglob("*.dcm")} == {files[1]}
    again = copy(parted, f"{parted.url}/v1", *options, "--json")
    assert summed(again) == ({"there": 3}, {"seen": 3, "failed": 0, "incomplete": 0, "missing": 0})


def test_a_dry_run_counts_and_copies_nothing(service):
    instances = [*some(2), *some(3)]
    study = instances[0].study_uid
    put(f"{service.url}/v2", [instances[0].content])
    with source(instances) as origin:
        ran = copy(service, origin, "--dry-run")
        assert origin.retrieves() == []
    assert (ran.code, ran.out) == (0, "studies        2\ninstances      5\nalready there  1\n")
    assert there(f"{service.url}/v2", study) == {instances[0].sop_instance_uid}


def test_a_study_of_which_nothing_is_there_comes_in_one_request(service):
    instances = some(4)
    with source(instances) as origin:
        assert copy(service, origin, "--files", 3).code == 0
        assert origin.retrieves() == [f"/studies/{instances[0].study_uid}"]
    assert there(f"{service.url}/v2", instances[0].study_uid) == uids(instances)


def test_only_what_is_not_there_is_asked_for(service):
    instances = some(3)
    study = instances[0].study_uid
    more = [made(study_uid=study, series_uid=f"{study}.7") for _ in range(2)]
    put(f"{service.url}/v2", [instances[0].content])
    with source([*instances, *more]) as origin:
        ran = copy(service, origin, "--json")
        assert sorted(origin.retrieves()) == sorted(
            [f"/studies/{study}/series/{study}.7", *(one.path for one in instances[1:])]
        )
    assert summed(ran)[0] == {"there": 1, "stored": 4}


def test_what_the_service_refuses_is_told_with_reason(service):
    good, bad = some(2)
    cut = type(bad)(bad.study_uid, bad.series_uid, bad.sop_instance_uid, bad.content[:-200])
    with source([good, cut]) as origin:
        ran = copy(service, origin)
    assert ran.code == 1
    assert "  1 × the data set breaks a rule (43264)" in ran.out


def test_only_studies_that_are_named_or_match_are_copied(service):
    one, two, three = some(1), some(1), some(1)
    with source([*one, *two, *three]) as origin:
        ran = copy(service, origin, "--studies", one[0].study_uid, "2.25.404")
        assert (ran.code, "2.25.404: failed: the source has no instance of it" in ran.err) == (1, True)
        ran = dicom("copy", origin.url, f"StudyInstanceUID={two[0].study_uid}", "--to", service.url)
        assert ran.code == 0
        ran = copy(service, origin, "--studies", "../escape")
        assert (ran.code, "this is no UID" in ran.err) == (1, True)
    found = [there(f"{service.url}/v2", group[0].study_uid) for group in (one, two, three)]
    assert found == [uids(one), uids(two), set()]


def test_a_copy_that_was_killed_goes_on_by_its_journal(service, tmp_path):
    instances, journal = some(4), tmp_path / "journal"
    options = ["--journal", journal, "--files", 1, "--parallel", 1, "--verify"]
    with source(instances) as origin, gateway(service.url, "pass", "pass", "pass", "pass", "hold") as gate:
        # The list of versions, what is there, two instances; the third one is on its way.
        command = [sys.executable, "-m", "shared.dev.cli", "copy", origin.url, "--url", gate.url, *map(str, options)]
        held = {**environment(), "TMPDIR": str(tmp_path)}
        with subprocess.Popen(command, cwd=ROOT, env=held, stderr=subprocess.DEVNULL) as process:
            assert gate.held.wait(60)
            process.send_signal(signal.SIGKILL)
        gate.release.set()
        assert len(journal.read_text().splitlines()) == 2
        assert journal.stat().st_mode & 0o077 == 0
        (left,) = tmp_path.glob("dicom-copy-*")
        assert left.stat().st_mode & 0o077 == 0
        assert len([*left.iterdir()]) <= 2, "what is sent goes: there is one on its way, and the next"
        before = len(origin.retrieves())
        ran = copy(gate, origin, *options, "--json")
        assert len(origin.retrieves()) == before + 2
    assert (ran.code, summed(ran)[0]) == (0, {"known": 2, "stored": 2})
    assert there(f"{service.url}/v2", instances[0].study_uid) == uids(instances)


def test_a_copy_leaves_nothing_of_what_was_under_way(service, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with source(some(3)) as origin:
        assert copy(service, origin).code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["ftp://a"], 2, "SOURCE-URL is an address"),
        (["http://me:secret@a"], 2, "SOURCE-URL has neither user"),
        (["http://example.org", "--source-token", "secret"], 2, "give an https address as SOURCE-URL"),
        (["http://a", "--source-partition", "a/b"], 2, "--source-partition is"),
        (["http://a", "PatientID=1", "--studies", "1.2"], 2, "Either --studies or KEY=VALUE"),
        (["http://a", "nonsense"], 2, "A key is written as"),
        (["http://localhost:1"], 3, "At the source: Nobody answers at http://localhost:1"),
    ],
)
def test_what_cannot_be_copied_is_said_without_what_is_secret(service, options, code, text):
    ran = dicom("copy", *options, "--url", service.url)
    assert (ran.code, text in ran.err, "secret" in ran.both) == (code, True, False)


def test_who_looks_at_a_terminal_sees_studies_instances_and_bytes(service):
    with source(some(2)) as origin:
        shown = copy(service, origin, terminal=True)
    assert (shown.code, "Copying: 1 of 1 study, 2 instances" in shown.err) == (0, True)


def test_the_guide_shows_what_the_command_prints(service, parted, tmp_path, monkeypatch):
    """The new service has data partitions where one is named, and for tags, because nobody else adds tags there."""
    monkeypatch.chdir(tmp_path)
    instances = [*some(2), *some(1)]
    with source(instances) as origin:

        def run(line):
            new = parted if "--partition" in line or "tags" in line else service
            old = new.url if "tags" in line else origin.url.removesuffix(BASE)
            line = line.replace("https://new.example.org", new.url).replace("https://old.example.org", old)
            line = line.replace(f"{old}/v2", origin.url)
            _, *words = shlex.split(line)
            return plain(dicom(*words).both)

        assert rerun(plain(GUIDE), run) == plain(GUIDE)
        assert "/partitions/clinic-a/studies" in "".join(path for path, _ in origin.asked)
    assert there(f"{parted.url}/v2/partitions/north", instances[0].study_uid) == uids(instances[:2])


def test_settings_that_the_guide_names_are_there():
    settings = re.findall(r"^\| `(DICOM_\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"DICOM_[A-Za-z_]+", GUIDE)) <= {*settings, "DICOM_TOKEN", TOKEN}


def plain(text):
    """Ids of operations and numbers of bytes differ from run to run."""
    return re.sub(r"\([0-9.]+ (?:k|M)B\)", "(3.1 kB)", ANY_ID.sub(AN_ID, text))


@pytest.mark.slow
def test_memory_does_not_depend_on_the_length_of_what_is_copied(service, tmp_path):
    peaks = []
    for megabytes in (1, 150):
        with source([made(pixel_bytes=megabytes * 1_000_000)]) as origin:
            script = (
                "import sys; from pathlib import Path; from shared.dev.cli import command; "
                "code = command.main(sys.argv[1:]); "
                "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]); sys.exit(code)"
            )
            command = [sys.executable, "-c", script, "copy", origin.url, "--url", service.url, "--quiet"]
            ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
            peaks.append(int(ran.stdout))
    assert peaks[1] - peaks[0] < 20_000, f"KiB: {peaks}"
