"""Golden replies: what a schema cannot show is held by recorded exchanges, tests/golden/<label>/<scenario>.json.

Fresh compares a replay with the recordings of the work tree, kept with those of the history, which nobody can edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from shared.api.breaking.findings import Finding, Level
from shared.api.manifest import ApiVersion
from shared.dev.contract.history import History
from shared.dev.contract.remarks import Remark
from shared.dev.golden import record as golden_record
from shared.dev.golden import replay, steps
from shared.dev.golden.record import Exchange, Recording, Recordings
from shared.dev.golden.steps import GOLDEN

CHANGED, REMOVED, UNKNOWN = "golden-reply-changed", "golden-exchange-removed", "golden-unknown"
EXCUSABLE = frozenset({CHANGED, REMOVED})
_REQUESTS_FOLDER = Path(steps.REQUESTS).name
_ACCEPT = "make contract-accept"
_SHOWN_LINES = 60
_SHOWN_NAMES = 5


def recorded(root: Path) -> Recordings:
    """The recordings of a work tree."""
    folders = [path for path in sorted((root / GOLDEN).glob("*")) if path.is_dir() and path.name != _REQUESTS_FOLDER]
    return {folder.name: tuple(_of_folder(folder)) for folder in folders}


def _of_folder(folder: Path) -> Iterator[Exchange]:
    for path in sorted(folder.glob("*.json")):
        yield from golden_record.from_file(path.name, path.read_bytes())


def at_commit(history: History, commit: str) -> Recordings:
    """The recordings of the history."""
    found: dict[str, Recording] = {}
    for label in history.names(commit, GOLDEN):
        folder = f"{GOLDEN}/{label}"
        names = [name for name in history.names(commit, folder) if name.endswith(".json")]
        exchanges = [golden_record.from_file(name, history.content(commit, f"{folder}/{name}")) for name in names]
        if names:
            found[label] = tuple(each for recording in exchanges for each in recording)
    return found


def record(root: Path, replayed: Recordings, *, keep_others: bool = False) -> list[str]:
    """Write a replay as the recordings of the work tree, and say what that changed.

    Args:
        root: folder that has `tests/golden/`.
        replayed: by label.
        keep_others: only these versions were replayed; the others' recordings stay.
    """
    said = []
    for label, recording in replayed.items():
        folder = root / GOLDEN / label
        files = golden_record.as_files(recording)
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            path = folder / name
            known = path.exists()
            if not known or path.read_bytes() != content:
                path.write_bytes(content)
                said.append(f"{GOLDEN}/{label}/{name} {'changed' if known else 'is new'}")
        said += _gone(path for path in sorted(folder.glob("*.json")) if path.name not in files)
    if not keep_others:
        for label in sorted(recorded(root).keys() - replayed.keys()):
            folder = root / GOLDEN / label
            said += _gone(sorted(folder.glob("*.json")))
            folder.rmdir()
    return said


def _gone(paths: Iterable[Path]) -> Iterator[str]:
    for path in list(paths):
        path.unlink()
        yield f"{GOLDEN}/{path.parent.name}/{path.name} is gone"


def fresh(known: Recordings, replayed: Recordings, versions: Iterable[ApiVersion]) -> Iterator[Remark]:
    """What differs between the recordings of the work tree and a replay of its requests."""
    for version in versions:
        label = version.label.text
        before = {each.key: each for each in known.get(label, ())}
        after = {each.key: each for each in replayed.get(label, ())}
        if after and not before:
            yield Remark(label, "golden-missing", f"there is nothing in {GOLDEN}/{label}: run `{_ACCEPT}`.")
            continue
        for key in [*after, *(key for key in before if key not in after)]:
            old, new = before.get(key), after.get(key)
            if _written(old) != _written(new):
                yield _stale(version, old, new)
    served = {version.label.text for version in versions}
    for label in known:
        if label not in served:
            said = f"{GOLDEN}/{label} has no version that is served: `{_ACCEPT}` removes it."
            yield Remark(label, "golden-left-over", said)


def _written(exchange: Exchange | None) -> list[str]:
    return exchange.lines() if exchange else []


def _stale(version: ApiVersion, old: Exchange | None, new: Exchange | None) -> Remark:
    either = new or old
    assert either is not None, "one of them was found"
    said = f"{_place(either)}: not as recorded. Run `{_ACCEPT}`, and let a reviewer see what changes."
    text = _with_difference(said, old, new, ("recorded", "replayed"))
    method_and_path = operation_of(version, either)
    named = f"{method_and_path} ({either.operation})" if method_and_path else either.operation
    return Remark(version.label.text, "golden-not-fresh", text, operation=named)


def kept(before: Recording, after: Recording, version: ApiVersion) -> Iterator[Finding]:
    """What a client of the earlier replies would see in the later ones."""
    now = {each.key: each for each in after}
    for old in before:
        new = now.pop(old.key, None)
        if new is None:
            said = f"{_place(old)}: nothing shows any more that this is answered as it was."
            yield _finding(REMOVED, Level.ERR, version, old, said)
        elif _written(old) != _written(new):
            yield _changed(version, old, new)
    if now:
        names = [f"{_place(each)}" for each in list(now.values())[:_SHOWN_NAMES]]
        more = [f"and {len(now) - _SHOWN_NAMES} more"] if len(now) > _SHOWN_NAMES else []
        yield Finding("golden-exchange-added", Level.INFO, "", "", "", f"recorded anew: {', '.join([*names, *more])}.")


def _changed(version: ApiVersion, old: Exchange, new: Exchange) -> Finding:
    if (old.operation, old.request) == (new.operation, new.request):
        added = golden_record.additions(old.reply, new.reply)
        if added is not None:
            return _finding("golden-reply-extended", Level.INFO, version, new, f"replies got {_names(added)}.")
        reasonless = [golden_record.without_wording(each.reply) for each in (old, new)]
        if golden_record.additions(reasonless[0], reasonless[1]) == []:
            said = "the sentence of a refusal has another wording, which clients were told may happen."
            return _finding("golden-reply-reworded", Level.INFO, version, new, said)
    text = _with_difference(f"{_place(old)}: clients get another reply.", old, new, ("promised", "served"))
    return _finding(CHANGED, Level.ERR, version, new, text)


def _names(pointers: Sequence[str]) -> str:
    """Last steps of pointers, each once: the same header of many replies is one thing to say."""
    names = sorted({pointer.rpartition("/")[2] for pointer in pointers})
    return ", ".join([*names[:_SHOWN_NAMES], *(["and more"] if len(names) > _SHOWN_NAMES else [])])


def _finding(rule: str, level: Level, version: ApiVersion, exchange: Exchange, text: str) -> Finding:
    return Finding(rule, level, operation_of(version, exchange), exchange.operation, "", text)


def operation_of(version: ApiVersion, exchange: Exchange) -> str:
    """Method and path as findings name an operation; empty for what no row serves."""
    row = steps.rows(version).get(exchange.operation)
    return f"{row.method} /{version.label.text}/{row.path}" if row else ""


def _place(exchange: Exchange) -> str:
    return f"{exchange.scenario}, step {exchange.step!r}"


def _with_difference(said: str, old: Exchange | None, new: Exchange | None, names: tuple[str, str]) -> str:
    lines = golden_record.difference(_written(old), _written(new), names)
    shown = lines[:_SHOWN_LINES] + (["..."] if len(lines) > _SHOWN_LINES else [])
    return "\n     | ".join([said, *shown])


def check(root: Path, say: replay.Say, labels: Sequence[str] = ()) -> tuple[list[str], int]:
    """Lines about what differs from the recordings of the work tree, and the exit code."""
    versions = [each for each in replay.versions_of(root) if not labels or each.label.text in labels]
    replayed = replay.replay(root, say, labels)
    known = {label: each for label, each in recorded(root).items() if not labels or label in labels}
    remarks = list(fresh(known, replayed, versions))
    lines = [line for remark in remarks for line in remark.lines()]
    count = sum(map(len, replayed.values()))
    verdict = f"{len(remarks)} differ" if remarks else "all as recorded"
    return [*lines, f"golden: {count} replies of {', '.join(replayed) or 'no version'}; {verdict}"], int(bool(remarks))
