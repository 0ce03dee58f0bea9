"""The gate: nobody breaks a client by accident. It prints what it found, and closes when a promise is broken.

Fresh: documents and golden replies are as accepted. Kept: those of stable versions break nobody. Life-cycle: versions
end as announced. Conduct: stable versions behave as they did. What was promised is read from the history, so no file of
the work tree can hide it.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path

import yaml

from shared.api import manifest, openapi
from shared.api.breaking import engine, loading
from shared.api.breaking.documents import Document, DocumentError
from shared.api.breaking.findings import Finding, Level
from shared.api.decode import ManifestError
from shared.api.manifest import ApiVersion
from shared.dev.contract import accepted as accepted
from shared.dev.contract import promises as promises
from shared.dev.contract.accepted import AcceptedBreak
from shared.dev.contract.history import History, Reference
from shared.dev.contract.promises import Promises
from shared.dev.contract.remarks import GateError, Remark, of_finding
from shared.dev.golden import replay as golden_replay
from shared.dev.golden import steps
from shared.dev.golden import verdict as golden
from shared.dev.golden.record import Recordings

VERSIONS = "versions"
BASELINES = f"{VERSIONS}/baselines"
ACCEPT = "make contract-accept"
_SHOWN_LINES = 40

Documents = Mapping[str, bytes]
Replay = Callable[[], Recordings]


@dataclass(frozen=True, slots=True)
class _Past:
    """What was promised at the reference, by label, and the day of that."""

    promises: Promises
    documents: Documents
    recordings: Recordings
    day: date


@dataclass(frozen=True, slots=True)
class _Present:
    """What the work tree says, by label, and the day it is judged for; no recordings when nobody asked the service."""

    promises: Promises
    documents: Documents
    accepted: tuple[AcceptedBreak, ...]
    recordings: Recordings | None
    versions: tuple[ApiVersion, ...]
    today: date


def check(root: Path, today: date, base: str = "", replay: Replay | None = None) -> tuple[list[str], int]:
    """What the gate says of a work tree, line by line, and its exit code: 0 open, 1 closed.

    Args:
        root: folder that has `versions/`.
        today: the day that sunsets are compared with.
        base: revision to compare with in place of the last state that landed.
        replay: gives what the versions answer; without it golden replies are not looked at, and the gate says so.

    Raises:
        GateError: a file or the history cannot be read, or the service not be asked, so the gate cannot decide.
    """
    return judge(root, generated(root), today, base, replay)


def judge(
    root: Path, documents: Documents, today: date, base: str = "", replay: Replay | None = None
) -> tuple[list[str], int]:
    """As `check`, for documents that are to be served from the work tree."""
    served = golden_replay.versions_of(root)
    present = _Present(_promises(root), documents, _accepted(root), replay() if replay else None, served, today)
    remarks = list(_fresh(root, present.documents))
    if present.recordings is not None:
        remarks += golden.fresh(golden.recorded(root), present.recordings, served)
    history = History(root)
    reference = history.reference(base)
    if reference is None:
        said = "COMPARED WITH NOTHING: these sources have no history, so only fresh was checked"
    else:
        said = f"compared with {reference.text}"
        remarks += _against(_past(history, reference), present)
    printed = [line for remark in _told_once(remarks) for line in remark.lines()]
    failures = sum(remark.fails for remark in remarks)
    counts = Counter(remark.level.value for remark in remarks)
    summary = ", ".join(f"{counts[level.value]} {level.value}" for level in Level)
    verdict = f"{failures} of them fail" if failures else "nothing fails"
    lines = [_asked(present.recordings), f"contract of {', '.join(documents)}: {said}", f"{summary}; {verdict}"]
    return [*printed, *lines], int(failures > 0)


def _asked(recordings: Recordings | None) -> str:
    if recordings is None:
        return "GOLDEN REPLIES WERE NOT ASKED FOR (--no-golden): what no document shows was not checked"
    count = sum(map(len, recordings.values()))
    return f"golden: {count} replies" if count else f"NO GOLDEN REPLIES: there is nothing in {steps.REQUESTS}"


def _told_once(remarks: Iterable[Remark]) -> Iterator[Remark]:
    """What fails is told of every operation; what passes, such as a header that all answers got, once with a number."""
    alike: dict[Remark, list[Remark]] = {}
    for remark in remarks:
        same = remark if remark.fails else replace(remark, operation="", path="")
        alike.setdefault(same, []).append(remark)
    for first, *others in alike.values():
        more = f" (and in {len(others)} more places)" if others else ""
        yield replace(first, text=f"{first.text}{more}")


def accept(root: Path) -> list[str]:
    """Write the generated documents as baselines, and say what that changed.

    Raises:
        GateError: the version files have faults.
    """
    documents = generated(root)
    folder = root / BASELINES
    folder.mkdir(exist_ok=True)
    said = []
    for label, text in documents.items():
        path = folder / f"{label}.yaml"
        known = path.exists()
        if known and path.read_bytes() == text:
            continue
        path.write_bytes(text)
        said.append(f"{BASELINES}/{path.name} {'changed' if known else 'is new'}")
    for path in _left_over(folder, documents):
        path.unlink()
        said.append(f"{BASELINES}/{path.name} is gone")
    return said


def generated(root: Path) -> dict[str, bytes]:
    """The documents as they would be served, by label. A retired version has none.

    Raises:
        GateError: the version files have faults.
    """
    try:
        manifests = manifest.load(root / VERSIONS)
    except ManifestError as error:
        raise GateError(str(error)) from error
    return {version.label.text: openapi.as_yaml(openapi.document(version, manifests)) for version in manifests.versions}


def _accepted(root: Path) -> tuple[AcceptedBreak, ...]:
    try:
        return accepted.load(root / VERSIONS)
    except ManifestError as error:
        raise GateError(str(error)) from error


def _left_over(folder: Path, documents: Documents) -> list[Path]:
    return [path for path in sorted(folder.glob("*.yaml")) if path.stem not in documents]


def _promises(root: Path) -> Promises:
    paths = sorted((root / VERSIONS).glob("v*.yaml"))
    return {path.stem: promises.read(path.name, path.read_bytes()) for path in paths}


def _past(history: History, reference: Reference) -> _Past:
    commit = reference.commit
    manifests = [name for name in history.names(commit, VERSIONS) if name.startswith("v") and name.endswith(".yaml")]
    documents = [name for name in history.names(commit, BASELINES) if name.endswith(".yaml")]
    return _Past(
        {
            name.removesuffix(".yaml"): promises.read(name, history.content(commit, f"{VERSIONS}/{name}"))
            for name in manifests
        },
        {name.removesuffix(".yaml"): history.content(commit, f"{BASELINES}/{name}") for name in documents},
        golden.at_commit(history, commit),
        reference.day,
    )


def _fresh(root: Path, documents: Documents) -> Iterator[Remark]:
    folder = root / BASELINES
    for label, text in documents.items():
        path = folder / f"{label}.yaml"
        known = path.read_bytes() if path.exists() else None
        if known is None:
            yield Remark(label, "baseline-missing", f"there is no {BASELINES}/{path.name}: run `{ACCEPT}`.")
        elif known != text:
            yield _stale(label, known, text)
    for path in _left_over(folder, documents):
        said = f"{BASELINES}/{path.name} has no version that is served: `{ACCEPT}` removes it."
        yield Remark(path.stem, "baseline-left-over", said)


def _stale(label: str, known: bytes, text: bytes) -> Remark:
    said = (
        f"{BASELINES}/{label}.yaml is not what the versions say: run `{ACCEPT}`, and let a reviewer see what changes."
    )
    return Remark(label, "baseline-not-fresh", "\n     | ".join([said, *_shown(_differences(known, text))]))


def _differences(known: bytes, text: bytes) -> Iterable[str]:
    """In the words of the comparison; where it has none, because only texts differ, the lines themselves."""
    try:
        findings = engine.compare(loading.read(known), loading.read(text))
    except DocumentError as error:
        return [f"the baseline cannot be read as a document: {error}"]
    if findings:
        return [line for finding in findings for line in of_finding("", finding).lines()]
    before, after = (each.decode(errors="replace").splitlines() for each in (known, text))
    return difflib.unified_diff(before, after, "baseline", "generated", lineterm="", n=1)


def _shown(lines: Iterable[str]) -> list[str]:
    """As many lines as a reader takes in; `git diff` after accepting has all."""
    shown = list(islice(lines, _SHOWN_LINES + 1))
    return [*shown[:_SHOWN_LINES], "..."] if len(shown) > _SHOWN_LINES else shown


def _against(past: _Past, present: _Present) -> Iterator[Remark]:
    """Life-cycle, conduct and kept: the work tree against the reference."""
    ends = [
        *promises.life_cycle(past.promises, present.promises, present.today, past.day),
        *promises.conduct(past.promises, present.promises),
    ]
    yield from ends
    said = {(remark.label, remark.rule) for remark in ends}
    used: set[AcceptedBreak] = set()
    for label in present.documents:
        if label not in past.documents:
            known = "has no baseline there" if label in past.promises else "is new"
            yield Remark(label, "version-unknown", f"it {known}: there is nothing it could break.", Level.INFO)
            continue
        for finding in _compared(label, past, present):
            # What the version files already told once, the documents tell again for every operation.
            if (label, finding.id) not in said:
                yield _judged(label, finding, present, used, stable=_stable(label, past, present))
    if present.recordings is None:
        # Nobody looked, so nobody can say that these excuse nothing.
        used.update(line for line in present.accepted if line.rule in golden.EXCUSABLE)
    else:
        yield from _replies(past, present, present.recordings, used)
    yield from accepted.unused(present.accepted, used, present.today)


def _replies(past: _Past, present: _Present, recordings: Recordings, used: set[AcceptedBreak]) -> Iterator[Remark]:
    """Golden replies that were promised against those that are served."""
    for version in present.versions:
        label = version.label.text
        if label not in past.recordings:
            if label in past.documents and recordings.get(label):
                yield Remark(label, golden.UNKNOWN, "no replies were recorded there: nothing to keep.", Level.INFO)
            continue
        for finding in golden.kept(past.recordings[label], recordings.get(label, ()), version):
            yield _judged(label, finding, present, used, stable=_stable(label, past, present))


def _stable(label: str, past: _Past, present: _Present) -> bool:
    """Whether a version was promised to be stable, then or now."""
    return "stable" in {each[label].stability for each in (past.promises, present.promises) if label in each}


def _compared(label: str, past: _Past, present: _Present) -> tuple[Finding, ...]:
    before, after = past.documents[label], present.documents[label]
    try:
        return engine.compare(_as_written(before), loading.read(after), present.today)
    except DocumentError as error:
        raise GateError(f"the baseline of {label} in the history cannot be compared: {error}") from error


def _as_written(baseline: bytes) -> Document:
    """A document of the history, by the YAML 1.1 it was written in: its tags, such as 00081190, were not in quotes."""
    try:
        return Document(yaml.load(baseline, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise DocumentError("it is no YAML") from error


def _judged(label: str, finding: Finding, present: _Present, used: set[AcceptedBreak], *, stable: bool) -> Remark:
    if finding.level is Level.INFO:
        return of_finding(label, finding)
    if not stable:
        return of_finding(label, finding, "a prerelease may break" if finding.level is Level.ERR else "")
    for line in present.accepted:
        if line.covers(label, finding, present.today):
            used.add(line)
            return of_finding(label, finding, f"accepted by {line.approver}: {line.reason}")
    return of_finding(label, finding)
