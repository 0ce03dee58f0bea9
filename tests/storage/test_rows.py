"""What rows hold comes back as it was, and the newest value wins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.storage.rows import (
    PROPERTY_BYTES,
    LevelState,
    LevelValues,
    dictionary_of,
    fits_row,
    instance_entity,
    packed_metadata,
    packed_of,
    state_entity,
    state_of,
    unpacked_metadata,
)
from tests.storage.made import instance


def written(entity: dict[str, object]) -> dict[str, object]:
    """As a table gives it back: bytes and long numbers are text."""
    import base64

    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in entity.items()
    } | {"odata.etag": "etag"}


def element(value: str) -> dict[str, object]:
    return {"vr": "LO", "Value": [value]}


@given(st.binary(max_size=100_000), st.binary(max_size=100_000))
def test_packed_metadata_comes_back(metadata, first):
    dictionary = dictionary_of(first)
    assert unpacked_metadata(packed_metadata(metadata, dictionary), dictionary) == metadata


def test_metadata_like_the_first_instance_s_packs_to_little():
    first = b"".join(b'{"0008%04X":{"vr":"LO","Value":["value %d"]}}' % (n, n * n) for n in range(200))
    second = first.replace(b"value 100", b"value 101")
    assert len(packed_metadata(second, dictionary_of(first))) < len(second) / 50


def test_metadata_longer_than_a_property_is_spread_over_several():
    packed = bytes(range(256)) * 1000
    row = written(instance_entity(instance("1", "2", "3"), packed, 7, "event"))
    assert fits_row(packed)
    assert packed_of(row) == packed
    assert all(len(str(value)) < PROPERTY_BYTES * 4 / 3 + 4 for value in row.values())


def test_a_missing_value_erases_nothing_and_a_new_one_wins():
    first = LevelValues(
        {"A": element("1"), "B": element("1")}, {"A": element("1"), "B": element("1")}, {"A": "1", "B": "1"}
    )
    second = LevelValues({"B": element("2")}, {"B": element("2")}, {"B": "2"})
    state = LevelState().with_values(first, "CT").with_values(second, "")
    assert state.index == {"A": element("1"), "B": element("2")}
    assert state.columns == {"A": "1", "B": "2"}
    assert state.answer == {"B": element("2")}
    assert state.modalities == {"CT"}


def test_a_state_comes_back_from_its_row():
    values = LevelValues({"A": element("é")}, {"A": element("é")}, {"A": "e"})
    state = LevelState(order="ORDER", segment=3).with_values(values, "CT").with_values(values, "MR")
    again = state_of(written(state_entity(state, 5)))
    assert again.says_the_same(state)
    assert (again.order, again.segment, again.etag) == ("ORDER", 3, "etag")


def test_an_answer_too_long_for_a_row_loses_its_sequences_only():
    import secrets

    long = {"vr": "SQ", "Value": [{"00080100": element(secrets.token_hex(100_000))}]}
    values = LevelValues({"A": element("1"), "B": long}, {}, {})
    assert state_of(written(state_entity(LevelState().with_values(values), 1))).answer == {"A": element("1")}
