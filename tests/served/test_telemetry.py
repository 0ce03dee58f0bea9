"""Traces and metrics of the real app: what the access lines say arrives at a collector, and nothing of patients."""

from __future__ import annotations

import re
from collections import Counter

import httpx
import pytest

from shared.dev.collector import collecting
from tests.api.test_usage import LINE
from tests.served.test_access import planted
from tests.support.clients import DICOM_JSON, related, related_type
from tests.support.nursery import Forked
from tests.support.served import started

pytestmark = pytest.mark.served

TRACE, PARENT = "ab" * 16, "cd" * 8
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "200"}
SECRET = "MRKRKEY"


@pytest.fixture(scope="module")
def watched():
    """A host whose telemetry goes to a collector: its service, and what arrives."""
    with collecting() as (url, received):
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={SECRET}", **SOON}
        with started({**told, "DICOM_BACKGROUND": "off"}) as service:
            yield service, received


async def test_one_trace_and_the_figures_of_the_access_lines_without_a_word_of_patients(watched):
    service, received = watched
    instance, markers = planted(1)
    headers = {
        "traceparent": f"00-{TRACE}-{PARENT}-00",
        "tracestate": "mrkr=MRKRSTATE",
        "baggage": "patient=MRKRBAGGAGE",
        "Authorization": "Bearer MRKRTOKEN",
        "User-Agent": "OHIF/3.9 (MRKRAGENT)",
        "Accept": DICOM_JSON,
    }
    reads = [
        f"v2{instance.path}/metadata",
        "v1/studies?PatientName=MRKRQ1&PatientID=MRKRQ2",
        "v2/studies?MRKRKEY=1",
        "v2/studies/MRKRUID",
        f"V1.0-Prerelease/studies/{instance.study_uid}/metadata",
        "v77/MRKRPATH",
        "health/live",
    ]
    async with httpx.AsyncClient(base_url=service.url, headers=headers) as client:
        content = related([instance.content])
        stored = await client.post("/v2/studies", content=content, headers={"Content-Type": related_type()})
        assert stored.status_code in (200, 202), stored.text
        retrieved = await client.get(f"/v2{instance.path}", headers={"Accept": "application/dicom"})
        assert retrieved.status_code == 200
        statuses = [stored.status_code, 200, *[(await client.get(f"/{path}")).status_code for path in reads]]

    assert received.wait(lambda now: len(now.spans) >= len(statuses))
    asked = sum(point.count for point in received.points if point.metric == "http.server.request.duration")
    assert asked == len(statuses) or received.wait(lambda now: _asked(now) == len(statuses)), asked
    assert {(span.trace_id, span.parent_id) for span in received.spans} == {(TRACE, PARENT)}
    assert Counter(span.attributes["http.response.status_code"] for span in received.spans) == Counter(statuses)
    assert isinstance(service.process, Forked)
    printed = service.process.log.read_text()
    assert Counter(map(_of_span, received.spans)) == Counter(_of_line(line) for line in LINE.finditer(printed))
    for metric, figure in (("calls", "calls"), ("read", "read"), ("written", "written")):
        told = sum(point.value for point in received.points if point.metric == f"dicom.storage.{metric}")
        assert told == sum(int(line[figure]) for line in LINE.finditer(printed)), metric
    assert received.headers["api-key"] == SECRET

    sent = b"".join(received.bodies).decode(errors="replace").lower()
    assert "ohif/3.9" in sent, "these are the bytes that were sent"
    uids = {instance.study_uid, instance.series_uid, instance.sop_instance_uid}
    assert [word for word in {*markers, *uids, SECRET} if word.lower() in sent] == []
    assert re.findall(r"\d+(?:\.\d+){5,}", sent) == [], "no UID of any kind"
    assert SECRET not in printed


def _asked(received):
    return sum(point.count for point in received.points if point.metric == "http.server.request.duration")


def _of_line(line):
    return tuple(line[name] for name in ("operation", "status", "calls", "read", "written", "client", "bytes", "end"))


def _of_span(span):
    told = span.attributes
    storage = (told[f"dicom.storage.{name}"] for name in ("calls", "read_bytes", "written_bytes"))
    return tuple(
        str(value)
        for value in (
            told["dicom.operation"],
            told["http.response.status_code"],
            *storage,
            told["user_agent.original"],
            told["http.response.body.size"],
            told["dicom.reply.end"],
        )
    )
