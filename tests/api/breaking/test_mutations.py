"""The gate judges changes to our own documents rightly: several hundred, each breaking or not by how it is made."""

from __future__ import annotations

import functools
import json

import pytest

from shared.api import openapi
from shared.api.breaking import engine
from shared.api.breaking.documents import Document
from shared.api.breaking.findings import Level
from tests.api import made
from tests.api.breaking import mutations

LABELS = [version.label.text for version in made.loaded().versions]
KINDS = {kind.name: kind for kind in mutations.KINDS}


@functools.cache
def written():
    """Each document as JSON: the text that copies are made from."""
    manifests = made.loaded()
    documents = {version.label.text: openapi.document(version, manifests) for version in manifests.versions}
    return {label: json.dumps(document) for label, document in documents.items()}


def copy_of(label, kind):
    """A document that a kind can be tried on."""
    document = json.loads(written()[label])
    return mutations.twin(document) if KINDS[kind].needs_twin else document


@functools.cache
def base(label, needs_twin):
    document = json.loads(written()[label])
    return Document(mutations.twin(document) if needs_twin else document)


@functools.cache
def places(kind):
    """Where a kind can be tried: label and steps; each time elsewhere, and twice in the newest document what breaks."""
    shares = {label: [index / len(LABELS)] for index, label in enumerate(LABELS)}
    if KINDS[kind].breaking:
        shares[LABELS[-1]].append(1)
    return [(label, steps) for label in LABELS for steps in KINDS[kind].applied(copy_of(label, kind), shares[label])]


def judged(kind, label, steps):
    """What is found after a mutation: None when it is judged rightly, else what was said instead."""
    document = copy_of(label, kind)
    KINDS[kind].change(document, steps)
    findings = engine.compare(base(label, KINDS[kind].needs_twin), Document(document))
    breaking = any(finding.level is Level.ERR for finding in findings)
    if breaking is KINDS[kind].breaking and not (KINDS[kind].silent and findings):
        return None
    return label, steps, [(finding.id, finding.path) for finding in findings[:5]]


@pytest.mark.parametrize("labels", [LABELS[-1:], pytest.param(LABELS[:-1], marks=pytest.mark.slow)], ids=len)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_mutation_is_judged_rightly(kind, labels):
    wrong = [said for label, steps in places(kind) if label in labels and (said := judged(kind, label, steps))]
    assert wrong == []


def test_there_are_at_least_three_hundred_mutations():
    counts = {kind: len(places(kind)) for kind in sorted(KINDS)}
    lines = [f"{count:4} {'breaks' if KINDS[kind].breaking else 'allowed':8}{kind}" for kind, count in counts.items()]
    breaking = sum(count for kind, count in counts.items() if KINDS[kind].breaking)
    lines.append(f"{sum(counts.values()):4} in all, {breaking} of them breaking")
    print("\n".join(lines))  # noqa: T201  `pytest -s` shows what was tried
    assert sum(counts.values()) >= 300


def test_every_kind_has_a_place_in_every_document():
    found = {kind: {label for label, _ in places(kind)} for kind in KINDS}
    assert {kind: labels for kind, labels in found.items() if labels != set(LABELS)} == {}
