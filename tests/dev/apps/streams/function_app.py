"""HTTP functions that show how the local host treats requests and replies."""

import asyncio
import json
from collections.abc import AsyncIterator

import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
closed = asyncio.Event()


@app.function_name("b_recent")
@app.route("ops/recent", methods=["GET"])
async def recent(req: Request) -> Response:
    return Response("recent")


@app.function_name("a_one")
@app.route("ops/{id}", methods=["GET"])
async def one(req: Request) -> Response:
    return Response("one " + req.path_params["id"])


@app.function_name("echo")
@app.route("echo/{name}/{rest?}", methods=["GET", "POST", "HEAD"])
async def echo(req: Request, context: func.Context) -> Response:
    size = 0
    async for chunk in req.stream():
        size += len(chunk)
    seen = {
        "parameters": req.path_params,
        "path": req.scope["path"],
        "raw_path": req.scope["raw_path"].decode(),
        "query": req.url.query,
        "accept": req.headers.getlist("accept"),
        "invocation": req.headers.getlist("x-ms-invocation-id"),
        "context": context.invocation_id,
        "function": context.function_name,
        "size": size,
    }
    return Response(json.dumps(seen), media_type="application/json")


@app.function_name("first_piece")
@app.route("first", methods=["POST"])
async def first_piece(req: Request) -> Response:
    """Answers after the first piece of the request, whatever may follow."""
    return Response(await anext(req.stream()))


@app.function_name("endless")
@app.route("endless", methods=["GET"])
async def endless(req: Request) -> StreamingResponse:
    async def numbers() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    return StreamingResponse(numbers())


@app.function_name("ended")
@app.route("ended", methods=["GET"])
async def ended(req: Request) -> Response:
    """Answers when the iterator of `endless` was closed."""
    await asyncio.wait_for(closed.wait(), 10)
    return Response("closed")


@app.function_name("broken")
@app.route("broken/{how}", methods=["GET", "POST"])
async def broken(req: Request):
    if req.path_params["how"] == "raise":
        raise RuntimeError("on purpose")
    if req.path_params["how"] == "middle":

        async def half() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("in the middle, on purpose")

        return StreamingResponse(half(), headers={"content-length": "100"})
    return {"none": None, "dict": {"a": 1}, "text": "text"}[req.path_params["how"]]


@app.function_name("slow")
@app.route("slow", methods=["GET"])
async def slow(req: Request) -> Response:
    await asyncio.sleep(1.5)
    return Response("done at last")


@app.function_name("in_a_thread")
@app.route("thread", methods=["GET", "POST"])
def in_a_thread(req: Request) -> Response:
    return Response("early", status_code=400)


@app.function_name("any_method")
@app.route("any")
async def any_method(req: Request) -> Response:
    return Response(req.method)
