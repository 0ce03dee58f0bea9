"""The HTTP side of the local host: the first match in order of name, and the host's own answers.

A function gets its request as it would on Azure.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from shared.dev.host import paths
from shared.dev.host.app import HostedApp, HostedFunction, HttpTrigger
from shared.dev.host.exchange import Exchange, Receive, Send
from shared.dev.host.invoke import Invoker

_LOG = logging.getLogger(__name__)

DEFAULT_BODY_LIMIT = 104_857_600
# The web server's own limits: request line, all header lines together, number of header lines.
_LINE_BYTES = 8 * 1024
_HEADER_BYTES = 32 * 1024
_HEADER_LINES = 100

Scope = MutableMapping[str, Any]
# Starts a queue or timer function with a text; what the function raises is logged by the callee.
RunNow = Callable[[HostedFunction, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class HttpRules:
    """Settings of the HTTP side.

    Attributes:
        body_limit_bytes: FUNCTIONS_REQUEST_BODY_SIZE_LIMIT.
        homepage: whether `/` answers with a page when no function has it.
    """

    body_limit_bytes: int = DEFAULT_BODY_LIMIT
    homepage: bool = True


class HttpHost:
    """The ASGI app.

    Args:
        app: what is served.
        invoker: runs the functions.
        run_now: for `POST /admin/functions/{name}`.
        rules: limits.
    """

    def __init__(self, app: HostedApp, invoker: Invoker, run_now: RunNow, rules: HttpRules) -> None:
        self._app = app
        self._invoker = invoker
        self._run_now = run_now
        self._rules = rules
        self._routes = [(each, each.trigger) for each in app.functions if isinstance(each.trigger, HttpTrigger)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope["headers"], receive, send, self._rules.body_limit_bytes)
        status = _over_limit(scope)
        path = ""
        try:
            path = paths.decode(scope["raw_path"])
        except paths.BadPath:
            status = status or 400
        if status:
            await exchange.answer(status, close=True)
        elif _is_admin(path):
            await self._admin(scope["method"], path, exchange)
        elif found := self.match(scope["method"], path):
            await self._run(*found, {**scope, **_rewritten(scope, path)}, exchange)
        elif path == "/" and scope["method"] in ("GET", "HEAD"):
            await self._home(exchange)
        else:
            await exchange.answer(404)

    def match(self, method: str, path: str) -> tuple[HostedFunction, dict[str, str]] | None:
        """The function that gets a request, and its path parameters; a wrong method is no match."""
        for function, trigger in self._routes:
            if trigger.methods and method.upper() not in trigger.methods:
                continue
            values = trigger.template.match(path)
            if values is not None:
                return function, values
        return None

    async def _run(self, function: HostedFunction, values: dict[str, str], scope: Scope, exchange: Exchange) -> None:
        if exchange.declared_bytes > self._rules.body_limit_bytes:
            await exchange.refuse_body()
            return
        context = self._invoker.context(function)
        scope["headers"] = [line for line in scope["headers"] if line[0] != b"x-ms-invocation-id"]
        scope["headers"].append((b"x-ms-invocation-id", context.invocation_id.encode()))
        scope["path_params"] = values
        try:
            response = await self._invoker.call(function, Request(scope, exchange.receive), context)
            _check(response)
            await response(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            _LOG.warning("function %s: the client went away", function.name)
        except Exception:  # noqa: BLE001 - whatever a function raises is the same 500
            # Azure answers 500 and drops the connection, whatever was raised.
            _LOG.exception("function %s failed (invocation %s)", function.name, context.invocation_id)
            if not exchange.started and not exchange.refused:
                await exchange.answer(500, "Internal Server Error", close=True)
        if exchange.left_unread and not exchange.refused:
            _LOG.error(
                "function %s answered before it had read its request; Azure fails such invocations", function.name
            )

    async def _home(self, exchange: Exchange) -> None:
        if self._rules.homepage:
            await exchange.answer(200, "The local Functions host is up and running.\n")
        else:
            await exchange.answer(204)

    async def _admin(self, method: str, path: str, exchange: Exchange) -> None:
        pieces = path.strip("/").lower().split("/")
        functions = {each.name.lower(): each for each in self._app.functions}
        if (method, pieces) == ("GET", ["admin", "host", "status"]):
            await exchange.answer(200, json.dumps({"id": "local", "state": "Running"}), "application/json")
        elif (method, pieces) == ("GET", ["admin", "functions"]):
            names = [{"name": each.name} for each in self._app.functions]
            await exchange.answer(200, json.dumps(names), "application/json")
        elif method == "POST" and pieces[:2] == ["admin", "functions"] and len(pieces) == 3 and pieces[2] in functions:
            await self._start(functions[pieces[2]], exchange)
        else:
            await exchange.answer(404)

    async def _start(self, function: HostedFunction, exchange: Exchange) -> None:
        body = bytearray()
        while not exchange.client_gone and not exchange.refused:
            message = await exchange.receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        try:
            text = json.loads(body or b"{}").get("input", "")
        except (ValueError, AttributeError):
            await exchange.answer(400, 'The body must be JSON such as {"input": "text"}.\n')
            return
        if isinstance(function.trigger, HttpTrigger) or not isinstance(text, str):
            await exchange.answer(400, "Only queue and timer functions can be started here, with a text as input.\n")
            return
        await self._run_now(function, text)
        await exchange.answer(202)


def _over_limit(scope: Scope) -> int:
    """The status of a request whose head is too long, or 0."""
    line = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"]) + len("  HTTP/1.1\r\n")
    if line > _LINE_BYTES:
        return 414
    lines = scope["headers"]
    if len(lines) > _HEADER_LINES or sum(len(name) + len(value) + 4 for name, value in lines) > _HEADER_BYTES:
        return 431
    return 0


def _is_admin(path: str) -> bool:
    folded = path.lower()
    return any(folded == word or folded.startswith(word + "/") for word in ("/admin", "/runtime/webhooks"))


def _rewritten(scope: Scope, path: str) -> dict[str, Any]:
    """A function gets a path that was decoded and escaped again on its way, and its own list of headers."""
    raw_path = paths.encode(path)
    return {"raw_path": raw_path, "path": paths.unquoted(raw_path), "headers": list(scope["headers"])}


def _check(response: object) -> None:
    if not isinstance(response, Response):
        raise TypeError(f"an HTTP function must return a Response, not {type(response).__name__}")
    if response.background is not None:
        raise TypeError("a background task would run on Azure without an invocation; use a queue")
