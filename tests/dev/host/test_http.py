"""The local host through real HTTP, with a function app made for it."""

import asyncio
import sys

import httpx
import pytest

from tests.support.served import ROOT, served, started

STREAMS = ROOT / "tests" / "dev" / "apps" / "streams"
LIMIT = 3_000_000

pytestmark = [pytest.mark.served, pytest.mark.azurite]


@pytest.fixture(scope="module")
def host():
    with started({"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(LIMIT)}, STREAMS) as service:
        yield service


@pytest.fixture
async def client(host):
    async with httpx.AsyncClient(base_url=host.url, timeout=20) as client:
        yield client


async def raw(host, request):
    """Send bytes as they are; gives all that came back until the connection was closed, or went quiet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(host.url.rpartition(":")[2]))
    writer.write(request)
    answer = b""
    try:
        async with asyncio.timeout(5):
            while piece := await reader.read(65536):
                answer += piece
    finally:
        writer.close()
    return answer


async def test_the_first_function_by_name_gets_the_request(client):
    assert (await client.get("/ops/recent")).text == "one recent"


@pytest.mark.parametrize("path", ["/nowhere", "/ops//recent", "/echo", "/echo/a/b/c"])
async def test_an_unknown_path_is_404_without_body(client, path):
    answer = await client.get(path)
    assert (answer.status_code, answer.content) == (404, b"")


async def test_a_wrong_method_is_404_without_body(client):
    answer = await client.delete("/ops/1")
    assert (answer.status_code, answer.content) == (404, b"")


async def test_a_function_without_methods_takes_all(client):
    assert (await client.patch("/any")).text == "PATCH"


async def test_parameters_are_decoded_but_for_the_slash(client):
    seen = (await client.get("/ECHO/a%2Fb%20c%C3%A9/?x=1&x=2&y=")).json()
    assert seen["parameters"] == {"name": "a%2Fb cé"}
    assert seen["raw_path"] == "/ECHO/a%2Fb%20c%C3%A9/"
    assert seen["query"] == "x=1&x=2&y="


async def test_repeated_header_lines_arrive_as_they_were(client):
    seen = (await client.get("/echo/a", headers=[("accept", "a/b"), ("accept", "c/d")])).json()
    assert seen["accept"] == ["a/b", "c/d"]


async def test_the_invocation_id_is_the_hosts_own(client):
    seen = (await client.get("/echo/a", headers={"x-ms-invocation-id": "mine"})).json()
    assert seen["invocation"] == [seen["context"]] != ["mine"]
    assert seen["function"] == "echo"


async def test_head_goes_through_the_function(client):
    answer = await client.head("/echo/a")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == b""


async def test_a_body_up_to_the_limit_is_read(client):
    assert (await client.post("/echo/a", content=b"x" * LIMIT)).json()["size"] == LIMIT


async def test_a_body_over_the_limit_is_413(client):
    assert (await client.post("/echo/a", content=b"x" * (LIMIT + 1))).status_code == 413


async def test_a_chunked_body_over_the_limit_is_413(client):
    async def pieces():
        for _ in range(LIMIT // 50_000 + 1):
            yield b"x" * 50_000

    answer = await client.post("/echo/a", content=pieces())
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


async def test_a_chunked_body_arrives(client):
    async def pieces():
        for _ in range(7):
            yield b"x" * 1000

    assert (await client.post("/echo/a", content=pieces())).json()["size"] == 7000


async def test_a_function_sees_a_piece_before_the_rest_was_sent(host):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(host.url.rpartition(":")[2]))
    writer.write(b"POST /first HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"hello")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_reply_is_closed_when_the_client_goes(host, client):
    async with client.stream("GET", "/endless") as answer:
        async for _ in answer.aiter_bytes():
            break
    assert (await client.get("/ended")).text == "closed"


@pytest.mark.parametrize("how", ["raise", "none", "dict", "text"])
async def test_a_failed_function_is_plain_500_and_the_connection_is_closed(client, how):
    answer = await client.get(f"/broken/{how}")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert answer.headers["connection"] == "close"


async def test_a_reply_that_fails_in_the_middle_is_cut(client):
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/broken/middle")


async def test_an_unread_body_is_an_error_in_the_log_and_closes_the_connection(host, client):
    answer = await client.post("/thread", content=b"x" * 1000)
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")
    async with asyncio.timeout(10):
        # The line is written after the answer was sent.
        wanted = "in_a_thread answered before it had read its request"
        while wanted not in host.process.last_lines():  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)


async def test_a_read_body_keeps_the_connection(client):
    assert "connection" not in (await client.post("/echo/a", content=b"x")).headers


async def test_the_host_has_pages_of_its_own(client):
    assert (await client.get("/")).status_code == 200
    assert (await client.get("/admin/host/status")).json()["state"] == "Running"
    names = [each["name"] for each in (await client.get("/admin/functions")).json()]
    assert names == sorted(names, key=str.upper)
    assert (await client.get("/admin/other")).status_code == 404
    assert (await client.get("/runtime/webhooks/x")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/admin/functions/none", "", 404), ("/admin/functions/echo", "", 400), ("/admin/functions/echo", "[", 400)],
)
async def test_what_cannot_be_started_by_hand_is_refused(client, path, body, status):
    assert (await client.post(path, content=body)).status_code == status


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"a: b\r\n" * 101, b"431"),
        (b"GET / HTTP/1.1\r\nHost: h\r\na: " + b"b" * 33000 + b"\r\n", b"431"),
        (b"GET /%00 HTTP/1.1\r\nHost: h\r\n", b"400"),
        (b"NONSENSE\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n", b"400"),
    ],
)
async def test_a_request_the_web_server_refuses(host, request_line, status):
    answer = await raw(host, request_line + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)


async def test_a_client_that_waits_to_be_asked_gets_its_refusal_at_once(host):
    """RFC 9110 §10.1.1: a final status instead of 100 tells the client to keep its body."""
    head = f"POST /echo/a HTTP/1.1\r\nHost: h\r\nContent-Length: {LIMIT + 1}\r\nExpect: 100-continue\r\n\r\n"
    answer = await raw(host, head.encode())
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_client_that_cuts_its_request_leaves_the_host_alive(host, client):
    port = int(host.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /echo/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc")
    await writer.drain()
    writer.transport.abort()
    assert (await client.get("/echo/a")).status_code == 200


async def test_a_stop_lets_a_running_request_end_and_exits_with_0():
    async with served(app=STREAMS) as service, httpx.AsyncClient(base_url=service.url, timeout=20) as client:
        running = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(service.process.stop, 15)
        assert (await running).text == "done at last"
        assert service.process.exit_code() == 0
        assert "Stopped." in service.process.last_lines()


async def test_a_taken_port_is_named(host):
    port = host.url.rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "shared.dev.host",
        "--port",
        port,
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert f"port {port} is taken" in errors.decode()
