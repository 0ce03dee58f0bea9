"""Which storage account, and how a request to it is signed. No I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from shared.settings import Settings, SettingsError

# The emulator's account is public knowledge and the same everywhere; it opens nothing but a local emulator.
EMULATOR_ACCOUNT = "devstoreaccount1"
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account.

    Attributes:
        name: its name.
        key: its shared key, decoded; None when requests carry a token of a managed identity.
        blob_url: root of the blob service, without a trailing slash.
        table_url: root of the table service, without a trailing slash.
        queue_url: root of the queue service, without a trailing slash.
    """

    name: str
    key: bytes | None
    blob_url: str
    table_url: str
    queue_url: str


def account_of(settings: Settings) -> Account:
    """The account that the settings name.

    Raises:
        SettingsError: when the connection string cannot be used.
    """
    if settings.storage_account:
        name = settings.storage_account
        blob, table, queue = (f"https://{name}.{service}.core.windows.net" for service in ("blob", "table", "queue"))
        return Account(name, None, blob, table, queue)
    return _from_connection_string(settings.storage_connection)


def _from_connection_string(text: str) -> Account:
    fields = dict(part.split("=", 1) for part in text.strip().strip(";").split(";") if "=" in part)
    lower = {name.strip().lower(): value.strip() for name, value in fields.items()}
    if lower.get("usedevelopmentstorage", "").lower() == "true":
        root = "http://127.0.0.1:{port}/" + EMULATOR_ACCOUNT
        lower = {
            "accountname": EMULATOR_ACCOUNT,
            "accountkey": EMULATOR_KEY,
            "blobendpoint": root.format(port=10000),
            "queueendpoint": root.format(port=10001),
            "tableendpoint": root.format(port=10002),
        }
    name = lower.get("accountname", "")
    try:
        key = base64.b64decode(lower.get("accountkey", ""), validate=True)
    except binascii.Error as error:
        raise SettingsError("DICOM_STORAGE: AccountKey is not base64") from error
    if not name or not key:
        raise SettingsError("DICOM_STORAGE must carry AccountName and AccountKey, or be UseDevelopmentStorage=true")
    scheme = lower.get("defaultendpointsprotocol", "https")
    suffix = lower.get("endpointsuffix", "core.windows.net")
    return Account(
        name=name,
        key=key,
        blob_url=lower.get("blobendpoint", f"{scheme}://{name}.blob.{suffix}").rstrip("/"),
        table_url=lower.get("tableendpoint", f"{scheme}://{name}.table.{suffix}").rstrip("/"),
        queue_url=lower.get("queueendpoint", f"{scheme}://{name}.queue.{suffix}").rstrip("/"),
    )


def sign_blob(account: Account, method: str, url: str, headers: Mapping[str, str]) -> str:
    """Value of Authorization for a request to the blob or the queue service (scheme SharedKey).

    Args:
        account: an account with a key.
        method: HTTP method.
        url: the whole URL, percent-encoded as it is sent.
        headers: all headers that are sent, `x-ms-date` among them.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    length = lower.get("content-length", "")
    lines = [
        method,
        lower.get("content-encoding", ""),
        lower.get("content-language", ""),
        "" if length == "0" else length,
        lower.get("content-md5", ""),
        lower.get("content-type", ""),
        "",  # Date: x-ms-date stands in for it
        lower.get("if-modified-since", ""),
        lower.get("if-match", ""),
        lower.get("if-none-match", ""),
        lower.get("if-unmodified-since", ""),
        lower.get("range", ""),
    ]
    lines += [f"{name}:{lower[name]}" for name in sorted(lower) if name.startswith("x-ms-")]
    parts = urlsplit(url)
    lines.append(f"/{account.name}{parts.path}")
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        query.setdefault(name.lower(), []).append(value)
    lines += [f"{name}:{','.join(sorted(query[name]))}" for name in sorted(query)]
    return f"SharedKey {account.name}:{_hmac(account, chr(10).join(lines))}"


def sign_table(account: Account, url: str, date: str) -> str:
    """Value of Authorization for a request to the table service (scheme SharedKeyLite).

    Args:
        account: an account with a key.
        url: the whole URL, percent-encoded as it is sent.
        date: value of the request's `x-ms-date`.
    """
    path, _, query = url.partition("://")[2].partition("/")[2].partition("?")
    resource = f"/{account.name}/{path}"
    comp = dict(parse_qsl(query)).get("comp")
    if comp:
        resource += f"?comp={unquote(comp)}"
    return f"SharedKeyLite {account.name}:{_hmac(account, date + chr(10) + resource)}"


def _hmac(account: Account, text: str) -> str:
    assert account.key is not None, "only accounts with a key sign"
    return base64.b64encode(hmac.new(account.key, text.encode(), hashlib.sha256).digest()).decode()
