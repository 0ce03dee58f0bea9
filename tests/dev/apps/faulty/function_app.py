"""Everything that Azure would refuse or drop, one fault a function."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response, StreamingResponse

if TYPE_CHECKING:
    from decimal import Decimal

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.function_name("1digit")
@app.route("digit", methods=["GET"])
async def digit(req: Request) -> Response: ...


@app.function_name("host")
@app.route("hostname", methods=["GET"])
async def host(req: Request) -> Response: ...


@app.function_name("Same")
@app.route("same/one", methods=["GET"])
async def same(req: Request) -> Response: ...


@app.function_name("sAME")
@app.route("same/two", methods=["GET"])
async def other_same(req: Request) -> Response: ...


@app.function_name("first_on_route")
@app.route("twice/{a}", methods=["GET", "PUT"])
async def first_on_route(req: Request) -> Response: ...


@app.function_name("second_on_route")
@app.route("TWICE/{a}", methods=["PUT"])
async def second_on_route(req: Request) -> Response: ...


@app.function_name("reserved")
@app.route("administrators", methods=["GET"])
async def reserved(req: Request) -> Response: ...


@app.function_name("template")
@app.route("a/{b", methods=["GET"])
async def template(req: Request) -> Response: ...


@app.function_name("union")
@app.route("union", methods=["GET"])
async def union(req: Request) -> Response | StreamingResponse: ...


@app.function_name("classic")
@app.route("classic", methods=["GET"])
async def classic(req: func.HttpRequest) -> Response: ...


@app.function_name("classic_reply")
@app.route("classic/reply", methods=["GET"])
async def classic_reply(req: Request) -> func.HttpResponse: ...


@app.function_name("hint")
@app.route("hint", methods=["GET"])
async def hint(req: Request, context: Decimal) -> Response: ...


@app.function_name("argument")
@app.route("argument", methods=["GET"])
async def argument(request: Request) -> Response: ...


@app.function_name("wrong_context")
@app.route("context", methods=["GET"])
async def wrong_context(req: Request, context: int) -> Response: ...


@app.function_name("no_bundle")
@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
async def no_bundle(timer: func.TimerRequest) -> None: ...


@app.function_name("blob")
@app.blob_trigger(arg_name="blob", path="a/b", connection="AzureWebJobsStorage")
async def blob(blob: func.InputStream) -> None: ...
