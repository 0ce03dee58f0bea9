"""Reading the issuer's documents over the network: TLS or this machine, no redirects, bounded in time and in size."""

from __future__ import annotations

import asyncio

import aiohttp
import orjson

from shared.settings import is_safe_address

SECONDS = 5.0
MOST_BYTES = 512 * 1024


class FetchFailed(Exception):
    """A document could not be read; the text says why and quotes nothing of it."""


async def fetch_json(url: str) -> object:
    """A JSON document.

    Raises:
        FetchFailed: it cannot be had.
    """
    if not is_safe_address(url):
        raise FetchFailed("the address is neither https nor on this machine")
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with (
            asyncio.timeout(SECONDS),
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            # Where keys come from is what the settings say, and not what somebody on the way says.
            session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status != 200:
                raise FetchFailed(f"the answer has status {answer.status}")
            content = await _bounded(answer)
        return orjson.loads(content)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise FetchFailed(type(error).__name__) from error
    except ValueError as error:
        raise FetchFailed("the answer is not JSON") from error


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    # Counted as it is after decompression, so that a small answer cannot become a large one.
    async for chunk in answer.content.iter_chunked(65536):
        content += chunk
        if len(content) > MOST_BYTES:
            raise FetchFailed(f"the answer is longer than {MOST_BYTES} bytes")
    return bytes(content)
