"""What copies need: instances, and a small DICOMweb server with the habits of servers that are not this one."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.dev.cli.made import dicom
from tests.support.clients import DICOM_JSON, Made, made, related, related_type

BASE = "/dicom-web"
_PARTITION = re.compile(r"^/partitions/[^/]+")


@dataclass(slots=True)
class Habits:
    """What a server has, and how it gives it.

    Attributes:
        has: instances.
        cap: most matches it gives, whatever it is asked for.
        offset: what it makes of `offset`: `known`, `ignored`, `refused`, or `stuck` at its last match.
        warns: whether it says that there are more (PS3.18 §8.3.4.4).
        knows_star: whether it takes `transfer-syntax=*`.
        knows_many: whether it gives several instances at once.
        parts: whether what it gives are parts.
        cuts: how many of the next answers with several instances break off after the first one.
        gone: SOPInstanceUIDs that it lists, and does not give.
        broken: StudyInstanceUIDs whose instances it fails to list.
        token: what it wants to see; empty for nothing.
        asked: paths with their queries, and what was accepted.
    """

    has: list[Made]
    cap: int = 1000
    offset: str = "known"
    warns: bool = False
    knows_star: bool = True
    knows_many: bool = True
    parts: bool = True
    cuts: int = 0
    gone: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    token: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def retrieves(self) -> list[str]:
        """Paths of what was asked for as files."""
        return [path for path, accept in self.asked if "json" not in accept]


class _Handler(BaseHTTPRequestHandler):
    habits: Habits

    def do_GET(self) -> None:
        habits = self.habits
        accept = self.headers.get("Accept", "")
        path = self.path.removeprefix(BASE)
        habits.asked.append((path, accept))
        path = _PARTITION.sub("", path)
        if habits.token and self.headers.get("Authorization") != habits.token:
            self.give(401)
        elif "json" in accept:
            self.search(urlsplit(path))
        else:
            self.retrieve(path.split("/"), accept)

    def search(self, parts) -> None:
        habits = self.habits
        asked = parse_qs(parts.query)
        offset, limit = (int(asked[name][0]) for name in ("offset", "limit"))
        if offset and habits.offset == "refused":
            self.give(400)
            return
        if any(uid in parts.path for uid in habits.broken):
            self.give(500)
            return
        found = listed(habits.has, parts.path.split("/"), asked)
        start = {"ignored": 0, "stuck": min(offset, len(found) - 1)}.get(habits.offset, offset)
        page = found[start : start + min(limit, habits.cap)]
        more = {"Warning": '299 a: "There are additional results"'} if habits.warns and len(page) < len(found) else {}
        self.give(200, json.dumps(page).encode(), "application/dicom+json", more)

    def retrieve(self, steps: list[str], accept: str) -> None:
        habits = self.habits
        wanted = [one for one in habits.has if one.path.startswith("/".join(steps))]
        wanted = [one for one in wanted if one.sop_instance_uid not in habits.gone]
        single = "instances" in steps
        if not wanted:
            self.give(404)
        elif ("*" in accept and not habits.knows_star) or not (single or habits.knows_many):
            self.give(406)
        elif not habits.parts:
            form = 406 if accept.startswith("multipart") else 200
            self.give(form, wanted[0].content, "application/dicom")
        else:
            body = related(one.content for one in wanted)
            if not single and habits.cuts:
                habits.cuts -= 1
                body = body[: len(body) // len(wanted) + 900]
            self.give(200, body, related_type())

    def give(self, status: int, body: bytes = b"", kind: str = "text/plain", more=None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@contextlib.contextmanager
def source(has: list[Made], **habits: Any) -> Iterator[Habits]:
    """The server, for the length of a block."""
    offered = Habits(has, **habits)
    handler = type("Handler", (_Handler,), {"habits": offered})

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        offered.url = f"http://127.0.0.1:{server.server_address[1]}{BASE}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield offered
        finally:
            server.shutdown()
            thread.join()


def listed(has: list[Made], steps: list[str], asked: dict[str, list[str]]) -> list[dict[str, object]]:
    """Matches: studies, or the instances of one."""
    if steps[-1] == "studies":
        wanted = asked.get("StudyInstanceUID")
        uids = dict.fromkeys(one.study_uid for one in has)
        return [{"0020000D": element(uid)} for uid in uids if not wanted or uid in wanted]
    mine = [one for one in has if one.study_uid == steps[2]]
    return [{"0020000E": element(one.series_uid), "00080018": element(one.sop_instance_uid)} for one in mine]


def element(uid: str) -> dict[str, object]:
    return {"vr": "UI", "Value": [uid]}


def copy(service, origin, *options, **more):
    """Run the command, from a server or an address."""
    return dicom("copy", getattr(origin, "url", origin), "--url", service.url, *options, **more)


def some(count, **options):
    """Instances of a study, in one series."""
    first = made(**options)
    same = {"study_uid": first.study_uid, "series_uid": first.series_uid}
    return [first, *(made(**same, **options) for _ in range(count - 1))]


def there(root, study_uid):
    """SOPInstanceUIDs of a study."""
    answer = httpx.get(f"{root}/studies/{study_uid}/instances", headers={"Accept": DICOM_JSON}, trust_env=False)
    return {item["00080018"]["Value"][0] for item in answer.json()} if answer.status_code == 200 else set()


def uids(instances):
    return {one.sop_instance_uid for one in instances}


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def summed(ran):
    """What programs are told at the end: of instances, and of studies."""
    first, last = lines(ran.out)[-2:]
    return {key: value for key, value in first["summary"].items() if value}, last["studies"]
