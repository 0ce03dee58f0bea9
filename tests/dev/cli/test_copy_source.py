"""`dicom copy` from servers with habits of their own."""

from __future__ import annotations

import pytest

from shared.dev.cli.copy_source import TOKEN
from shared.dev.cli.search import PAGE
from tests.dev.cli.copy_made import copy, lines, some, source, summed, there, uids

pytestmark = [pytest.mark.azurite, pytest.mark.served]


@pytest.mark.parametrize("offset", ["ignored", "refused"])
def test_a_source_that_does_not_know_offset_gives_what_is_on_its_first_page(service, offset):
    instances = [*some(2), *some(1)]
    with source(instances, offset=offset) as origin:
        ran = copy(service, origin)
        searches = [path for path, accept in origin.asked if "json" in accept]
        assert len(searches) == 6  # two pages of studies, and of the instances of each
    assert (ran.code, ran.out.splitlines()[0]) == (0, "studies        2")
    assert there(f"{service.url}/v2", instances[0].study_uid) == uids(instances[:2])


def test_a_list_of_studies_that_may_go_on_is_told(service):
    instances = [one for _ in range(3) for one in some(1)]
    with source(instances, offset="refused", cap=2, warns=True) as origin:
        ran = copy(service, origin, "--dry-run")
    assert (ran.code, "The source lists 2 studies and does not know `offset`: there may be more." in ran.err) == (
        1,
        True,
    )


def test_a_list_of_instances_that_may_go_on_is_told(service):
    """As many as were asked for, and then the same again."""
    with source(some(1) * PAGE, offset="ignored") as origin:
        ran = copy(service, origin, "--dry-run")
    assert (ran.code, "the source does not list all instances" in ran.err) == (1, True)


def test_a_source_whose_pages_do_not_end_is_not_asked_for_ever(service):
    with source(some(2), offset="stuck") as origin:
        ran = copy(service, origin, "--dry-run")
        searches = [path for path, _ in origin.asked if "/instances" in path]
    assert (ran.code, len(searches)) == (1, 4)
    assert "the source does not list all instances" in ran.err


def test_a_source_that_gives_less_than_a_page_is_asked_on(service):
    instances = [one for _ in range(5) for one in some(1)]
    with source(instances, cap=2) as origin:
        ran = copy(service, origin, "--dry-run", "--json")
    assert lines(ran.out) == [{"studies": 5, "instances": 5, "there": 0}]


@pytest.mark.parametrize(
    ("habits", "noted"),
    [({"knows_star": False}, True), ({"parts": False}, False), ({"knows_star": False, "parts": False}, True)],
)
def test_a_source_that_refuses_a_form_is_asked_for_another_one(service, habits, noted):
    instances = some(2)
    with source(instances, **habits) as origin:
        ran = copy(service, origin)
    assert (ran.code, ran.err.count("refuses transfer-syntax=*")) == (0, int(noted))
    assert there(f"{service.url}/v2", instances[0].study_uid) == uids(instances)


def test_a_source_that_gives_single_instances_only_is_not_asked_for_more_for_ever(service):
    instances = [one for _ in range(5) for one in some(2)]
    with source(instances, knows_many=False) as origin:
        ran = copy(service, origin, "--json", "--parallel", 1)
        asked = [path for path in origin.retrieves() if "instances" not in path]
    assert (ran.code, summed(ran)[0], len(asked)) == (0, {"stored": 10}, 3)


def test_an_answer_that_breaks_off_is_made_whole(service):
    instances = some(3)
    with source(instances, cuts=2) as origin:
        ran = copy(service, origin, "--json", "--verify")
    assert (ran.code, summed(ran)[0]) == (0, {"stored": 3})
    assert there(f"{service.url}/v2", instances[0].study_uid) == uids(instances)


def test_what_is_listed_and_not_given_is_told_and_missing(service):
    instances = some(3)
    lost = instances[1]
    with source(instances, gone={lost.sop_instance_uid}) as origin:
        ran = copy(service, origin, "--verify")
    name = lost.path.replace("/studies/", "").replace("/series/", "/").replace("/instances/", "/")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        f"{name}: unreadable: the source lists it, and does not give it (404)",
        f"{name}: missing",
    ]
    assert ran.out.splitlines()[-2:] == [
        "  1 × the source lists it, and does not give it (404)",
        "missing        1 instance",
    ]


def test_a_study_that_the_source_cannot_list_does_not_keep_others_from_being_copied(service):
    bad, good = some(1), some(1)
    with source([*bad, *good], broken={bad[0].study_uid}) as origin:
        ran = copy(service, origin, "--json", "--parallel", 1)
    assert (ran.code, f"{bad[0].study_uid}: failed: At the source: " in ran.err) == (1, True)
    assert summed(ran) == ({"stored": 1}, {"seen": 1, "failed": 1, "incomplete": 0, "missing": 0})


def test_an_address_that_is_no_base_is_said(service):
    ran = copy(service, service.url)
    assert (ran.code, "SOURCE-URL is what addresses of studies begin with" in ran.err) == (1, True)


def test_who_asks_the_source_is_not_who_asks_the_service(service):
    instances = some(1)
    with source(instances, token="Bearer of-the-source") as origin:
        ran = copy(service, origin)
        assert (ran.code, "At the source: The service wants to know who asks: give --source-token" in ran.err) == (
            4,
            True,
        )
        variables = {TOKEN: "of-the-source", "DICOM_TOKEN": "of-the-service"}
        assert copy(service, origin, environment=variables).code == 0
        origin.token = "Basic c2VjcmV0"
        assert copy(service, origin, "--source-token", "Basic c2VjcmV0").code == 0
        ran = copy(service, origin, environment={"DICOM_TOKEN": "of-the-service"})
        assert (ran.code, "of-the-service" in ran.both) == (4, False)
