"""Child processes that end with their parent, and whose last words are kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from shared.dev.repository import ROOT

_LAST_LINES = 20
_GUARD_PATIENCE_SECONDS = 5.0


class Child:
    """A started process. Its output is read all the time, so that it never waits for a reader.

    Args:
        name: for people.
        command: program and arguments.
        environment: all of the child's environment.
        echo: where its lines are shown as they come; None keeps them for `last_lines` only.
        folder: working folder.
        stop_signal: what asks it to end.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        echo: IO[str] | None = None,
        folder: Path = ROOT,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._echo = echo
        self._stop_signal = stop_signal
        # A session of its own: Ctrl-C reaches the parent only, and the parent decides in which order things end.
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_lines(self) -> str:
        """The end of what it has printed."""
        if self.exit_code() is not None:
            self._reader.join(timeout=2)
        return "".join(self._lines)

    def stop(self, wait_seconds: float) -> None:
        """Ask it to end; after the wait, make it."""
        if self.exit_code() is None:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(wait_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(timeout=2)
        if self._process.stdout:
            self._process.stdout.close()

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                self._lines.append(line)
                if self._echo:
                    self._echo.write(line)
                    self._echo.flush()


class Guard:
    """Ends children when their parent dies without saying so, even by kill -9.

    A small process holds the other end of a pipe: when the pipe breaks, it ends every process it was told of.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "shared.dev.processes"],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        """End that process with this one."""
        self._say(str(pid))

    def dismiss(self) -> None:
        """All is stopped; nothing is to be ended."""
        self._say("done")
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()


def _send_signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _guard_main() -> int:
    pids: list[int] = []
    for line in sys.stdin:
        if line.strip() == "done":
            return 0
        pids.append(int(line))
    # As Ctrl-C: Azurite saves its tables on that, and the local host stops on it as well.
    _send_signal(pids, signal.SIGINT)
    threading.Event().wait(_GUARD_PATIENCE_SECONDS)
    _send_signal(pids, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    raise SystemExit(_guard_main())
