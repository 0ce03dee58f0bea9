"""What the service refuses, and why there is no connection to it, in words for people."""

from __future__ import annotations

import json
import ssl
from typing import Any

import httpx

from shared.dev.cli.screen import Ended, Exit

_TEXT_CHARACTERS = 600


def refusal(answer: httpx.Response, version: str, *, has_token: bool) -> Ended:
    """An answer that a command cannot do anything with.

    Args:
        answer: read to its end.
        version: label that was asked.
        has_token: whether the request had a token.
    """
    status, what = answer.status_code, what_it_says(answer)
    if status == 401:
        text = "does not take this token" if has_token else "wants to know who asks: give --token, or set DICOM_TOKEN"
        return Ended(f"The service {text} (401){what}.", Exit.NOT_ALLOWED)
    if status == 403:
        return Ended(f"Whoever asks is known, and may not do this (403){what}.", Exit.NOT_ALLOWED)
    if status == 400 and "UnsupportedApiVersion" in what:
        return Ended(f"Version {version} does not serve this (400). {_versions(answer)}")
    if 300 <= status < 400:
        return Ended(f"The service sends on to {answer.headers.get('location', 'nowhere')}; give that as --url.")
    if status == 404:
        return Ended(f"There is no such thing (404){what}.")
    return Ended(f"The service refuses this ({status}){what}.")


def _versions(answer: httpx.Response) -> str:
    labels = [one.strip() for one in answer.headers.get("api-supported-versions", "").split(",")]
    served = ", ".join(f"v{label}" for label in labels if label)
    return f"These do: {served}." if served else "`dicom versions` lists what there is."


def what_it_says(answer: httpx.Response) -> str:
    """What the service said, for the end of a sentence."""
    kind = answer.headers.get("content-type", "")
    if "html" in kind:
        return ""
    text = answer.text.strip()
    if "json" in kind:
        text = "; ".join(_texts(_parsed(text))) or text
    text = text[:_TEXT_CHARACTERS].rstrip(".")
    return f": {text}" if text else ""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _texts(content: Any) -> list[str]:
    """Sentences in a JSON body: of an error of its own, or of comments about attributes (contract C11)."""
    if not isinstance(content, dict):
        return []
    error = content.get("error")
    if isinstance(error, dict):
        return [f"{error.get('code', '')} {error.get('message', '')}".strip()]
    items = content.get("00741048")
    values = items.get("Value", []) if isinstance(items, dict) else []
    return [str(value) for item in values for value in item.get("00000902", {}).get("Value", [])]


def tls_fault(error: BaseException) -> str:
    """What is wrong with TLS; empty when it is something else."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({seen.verify_message})"
        if isinstance(seen, ssl.SSLError):
            return f"it does not speak TLS as expected ({seen.reason})"
        seen = seen.__cause__ or seen.__context__
    return ""
