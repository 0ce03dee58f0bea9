"""Running a function: its context, and a pool of threads for functions that are not coroutines."""

from __future__ import annotations

import asyncio
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from azure.functions import Context

from shared.dev.host.app import HostedFunction


class _TraceContext:
    """No trace is passed on: the local host is where a request begins."""

    trace_parent = ""
    trace_state = ""
    Traceparent = ""
    Tracestate = ""

    def __init__(self) -> None:
        self.attributes: dict[str, str] = {}


class _RetryContext:
    """No retry policy runs here; a queue message's tries are in its dequeue count."""

    retry_count = 0
    max_retry_count = 0
    exception = None


class InvocationContext(Context):
    """What a function sees of its invocation."""

    def __init__(self, function_name: str, function_directory: str, storage: threading.local) -> None:
        self._name = function_name
        self._directory = function_directory
        self._storage = storage
        self._invocation_id = str(uuid.uuid4())

    @property
    def invocation_id(self) -> str:
        """Unique per invocation."""
        return self._invocation_id

    @property
    def function_name(self) -> str:
        """Name of the function that runs."""
        return self._name

    @property
    def function_directory(self) -> str:
        """The app's folder."""
        return self._directory

    @property
    def thread_local_storage(self) -> Any:
        """Kept per thread of the process."""
        return self._storage

    @property
    def trace_context(self) -> Any:
        """Empty."""
        return _TraceContext()

    @property
    def retry_context(self) -> Any:
        """First and only try."""
        return _RetryContext()


class Invoker:
    """Calls functions of one app.

    Args:
        folder: the app's folder.
        threads: how many functions that are not coroutines may run at once.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._storage = threading.local()
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="function")

    def context(self, function: HostedFunction) -> InvocationContext:
        """A context for one invocation."""
        return InvocationContext(function.name, str(self._folder), self._storage)

    async def call(self, function: HostedFunction, argument: Any, context: InvocationContext) -> Any:
        """Run the function once and give back what it returns; what it raises passes through."""
        handler = function.handler
        arguments = {handler.argument: argument}
        if handler.wants_context:
            arguments["context"] = context
        if handler.is_async:
            return await handler.call(**arguments)
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: handler.call(**arguments))

    def close(self) -> None:
        """Take no more work; threads that still run are left to end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
