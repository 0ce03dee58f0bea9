"""`dicom import`: files into the service's import container, for objects of any length (docs/import.md).

The only command that speaks to storage and not to the service.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from shared.dev.cli.files import Found, PassedOver, check_paths, look, total, walk
from shared.dev.cli.operations import add_waiting
from shared.dev.cli.options import Command, Commands, Session, add_command
from shared.dev.cli.report import Fate, Outcome, Tally, failure_words, warning_words
from shared.dev.cli.screen import Bar, Ended, Exit, counted, first_of
from shared.dicom.reasons import FailureReason

if TYPE_CHECKING:
    from azure.storage.blob.aio import ContainerClient
    from azure.storage.queue.aio import QueueClient

_CONNECTION = "DICOM_STORAGE"
_CONTAINER = "dicom-import"
_EMULATOR = "UseDevelopmentStorage=true"
_UPLOADS = 4
_BLOCKS = 4
_BLOCK_BYTES = 4 << 20
_ASKED_AT_ONCE = 16
_PAUSE_SECONDS = 1.0
_ENDED = ("stored", "failed")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file in the container.

    Attributes:
        name: of its blob.
        etag: which blob of that name it is, without quotes.
    """

    file: Found
    name: str
    etag: str


@dataclass(frozen=True, slots=True)
class _Storage:
    files: ContainerClient
    results: ContainerClient
    queue: QueueClient


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    examples = ("import slides", "import slides --as scanner-7/today --no-wait", "import huge.dcm --timeout 3600")
    text = "Drop files of any length into the import container, and wait until they are stored"
    parser = add_command(commands, Command("import", text, run, examples))
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="file or folder; what is no DICOM is skipped"
    )
    parser.add_argument(
        "--connection", metavar="TEXT", help=f"connection string; better in {_CONNECTION} (default: the emulator)"
    )
    parser.add_argument("--container", default=_CONTAINER, metavar="NAME", help=f"(default: {_CONTAINER})")
    parser.add_argument("--as", dest="folder", metavar="NAME", help="folder in the container (default: a new one)")
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="end as soon as all files are dropped")
    add_waiting(parser)


async def run(options: argparse.Namespace, session: Session) -> int:
    """Drop all, and wait; exit code 0 when every DICOM file is stored, or dropped where nobody waits."""
    check_paths(options.paths)
    if session.target.partition:
        raise Ended("--partition says nothing to an import: the service decides where its files go.", Exit.USAGE)
    connection = options.connection or session.environment.get(_CONNECTION, "") or _EMULATOR
    _, size_bytes = await asyncio.to_thread(total, options.paths)
    folder = options.folder or f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    tally = Tally(session.screen)
    # Here and below, because no other command needs to wait for these imports.
    from azure.core.exceptions import AzureError

    try:
        async with _opened(connection, options.container) as storage:
            with session.screen.bar("Dropping", size_bytes, is_bytes=True) as bar:
                dropped = await _Dropping(storage, folder, tally, bar).all_of(options.paths)
            if not options.wait:
                return _left(session, dropped, tally)
            await _wait(session, _Waiting(storage, {one.name: one for one in dropped}, tally), options.timeout)
    except AzureError as error:
        # Its text names addresses; a signature may be in them.
        raise Ended(
            f"Storage cannot be used ({type(error).__name__}); --connection names it.", Exit.UNREACHABLE
        ) from error
    tally.close()
    if not tally.told_of_files:
        session.screen.error("There is no DICOM file to import.")
    return Exit.WELL if tally.told_of_files and not tally.faults else Exit.REFUSED


async def _wait(session: Session, waiting: _Waiting, timeout_seconds: float | None) -> None:
    go_on = "The files are dropped, and are stored without this command; docs/import.md says where to look."
    try:
        with session.screen.bar("Storing", len(waiting.files)) as bar:
            async with asyncio.timeout(timeout_seconds):
                await waiting.until_done(bar)
    except TimeoutError as error:
        waiting.tally.close()
        left = counted(len(waiting.files), "file")
        raise Ended(f"{left} not stored after {timeout_seconds:g} s. {go_on}", Exit.UNFINISHED) from error
    except asyncio.CancelledError:
        session.screen.note(f"\n{go_on}")
        raise


def _left(session: Session, dropped: Sequence[Dropped], tally: Tally) -> int:
    for one in dropped:
        session.screen.give({"file": str(one.file.path), "outcome": "dropped", "blob": one.name})
    session.screen.say(f"dropped        {len(dropped):,}")
    return Exit.WELL if dropped and not tally.faults else Exit.REFUSED


@asynccontextmanager
async def _opened(connection: str, container: str) -> AsyncIterator[_Storage]:
    from azure.storage.blob.aio import BlobServiceClient
    from azure.storage.queue import TextBase64EncodePolicy
    from azure.storage.queue.aio import QueueClient

    from shared.dev.azurite import expanded
    from shared.storage.client import BLOB_VERSION
    from shared.storage.dropped import results_container

    connection = expanded(connection)
    try:
        blobs = BlobServiceClient.from_connection_string(
            connection, api_version=BLOB_VERSION, max_single_put_size=_BLOCK_BYTES, max_block_size=_BLOCK_BYTES
        )
        queue = QueueClient.from_connection_string(
            connection, container, message_encode_policy=TextBase64EncodePolicy()
        )
    except ValueError as error:
        raise Ended("--connection is no connection string of a storage account.", Exit.USAGE) from error
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(blobs)
        await stack.enter_async_context(queue)
        files, results = (blobs.get_container_client(name) for name in (container, results_container(container)))
        yield _Storage(files, results, queue)


class _Dropping:
    """Uploads, a few at once."""

    def __init__(self, storage: _Storage, folder: str, tally: Tally, bar: Bar) -> None:
        self._storage = storage
        self._folder = folder
        self._tally = tally
        self._bar = bar
        self._room = asyncio.Semaphore(_UPLOADS)

    async def all_of(self, paths: Sequence[Path]) -> list[Dropped]:
        await _make(self._storage)
        tasks: list[asyncio.Task[Dropped | None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for root in paths:
                    walked = walk([root])
                    while found := await asyncio.to_thread(next, walked, None):
                        await self._room.acquire()
                        tasks.append(group.create_task(self._one(root, *found)))
        except BaseExceptionGroup as errors:
            raise first_of(errors) from None
        return [dropped for task in tasks if (dropped := task.result())]

    async def _one(self, root: Path, path: Path, size_bytes: int) -> Dropped | None:
        try:
            found = await asyncio.to_thread(look, path)
            if isinstance(found, PassedOver):
                outcome = Outcome.UNREADABLE if found.fault else Outcome.PASSED_OVER
                self._tally.add(path, size_bytes, Fate(outcome, words=found.why))
                return None
            relative = path.relative_to(root).parts if path != root else (path.name,)
            return await self._drop(found, str(PurePosixPath(self._folder, *relative)))
        except OSError as error:
            words = f"cannot be read: {error.strerror or type(error).__name__}"
            self._tally.add(path, size_bytes, Fate(Outcome.UNREADABLE, words=words))
            return None
        finally:
            self._bar.advance(size_bytes)
            self._room.release()

    async def _drop(self, file: Found, name: str) -> Dropped:
        blob = self._storage.files.get_blob_client(name)
        with await asyncio.to_thread(file.path.open, "rb") as content:
            state = await blob.upload_blob(content, length=file.size_bytes, overwrite=True, max_concurrency=_BLOCKS)
        await self._announce(name, blob.url.partition("?")[0])
        return Dropped(file, name, str(state["etag"]).strip('"'))

    async def _announce(self, name: str, url: str) -> None:
        """Tell the service at once; otherwise it finds the file when it looks the next time."""
        from azure.core.exceptions import AzureError

        subject = f"/blobServices/default/containers/{self._storage.files.container_name}/blobs/{name}"
        event = {"eventType": "Microsoft.Storage.BlobCreated", "subject": subject, "data": {"url": url}}
        # The key may be good for files alone.
        with contextlib.suppress(AzureError):
            await self._storage.queue.send_message(json.dumps(event))


async def _make(storage: _Storage) -> None:
    """Make what the service has not made yet, because it has never imported."""
    from azure.core.exceptions import AzureError, ResourceExistsError

    # Nobody there is known at once; what breaks later is tried again.
    with contextlib.suppress(ResourceExistsError):
        await storage.files.create_container(retry_total=0)
    with contextlib.suppress(AzureError):
        await storage.queue.create_queue(retry_total=0)


@dataclass(slots=True)
class _Waiting:
    """Files of which it is not known yet what becomes of them."""

    storage: _Storage
    files: dict[str, Dropped]
    tally: Tally

    async def until_done(self, bar: Bar) -> None:
        """Ask for outcomes, those of files that were dropped first at first."""
        while self.files:
            asked = list(islice(self.files.values(), _ASKED_AT_ONCE))
            ended = [one for one in await asyncio.gather(*map(self._ended, asked)) if one]
            bar.advance(len(ended))
            for name in ended:
                del self.files[name]
            if not ended:
                # One that stays open must not keep the others from being told.
                for dropped in asked:
                    self.files[dropped.name] = self.files.pop(dropped.name)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _ended(self, dropped: Dropped) -> str | None:
        from azure.core.exceptions import ResourceNotFoundError

        from shared.storage.dropped import outcome_name

        try:
            stream = await self.storage.results.download_blob(outcome_name(dropped.name))
            outcome = json.loads(await stream.readall())
        except (ResourceNotFoundError, ValueError):
            return None
        if str(outcome.get("fileETag", "")).strip('"') != dropped.etag or outcome.get("status") not in _ENDED:
            return None
        self.tally.add(dropped.file.path, dropped.file.size_bytes, fate_of(outcome))
        return dropped.name


def fate_of(outcome: Mapping[str, Any]) -> Fate:
    """What the service says about a file that it has seen to."""
    comments = tuple(str(one) for one in outcome.get("attributes") or ())
    if outcome["status"] == "stored":
        code = outcome.get("warningReason")
        kind = Outcome.WARNED if code is not None or comments else Outcome.STORED
        return Fate(kind, code, warning_words(code), comments)
    code = outcome.get("failureReason")
    kind = Outcome.THERE if code == FailureReason.ALREADY_EXISTS else Outcome.REFUSED
    words = str(outcome.get("reason") or failure_words(code))
    return Fate(kind, code, words, comments)
