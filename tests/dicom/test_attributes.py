from __future__ import annotations

from pydicom.datadict import dictionary_VR, keyword_for_tag

from shared.dicom.attributes import (
    ALL_ADDITIONS,
    COMPUTED,
    INDEXED,
    RETURN_SETS,
    SEARCHABLE,
    Level,
    all_return_set,
    searchable_at,
)


def test_tag_keyword_and_vr_are_those_of_the_dictionary() -> None:
    for attribute in SEARCHABLE:
        assert keyword_for_tag(attribute.tag) == attribute.keyword
        assert dictionary_VR(attribute.tag) == attribute.vr


def test_every_returned_tag_is_in_the_dictionary() -> None:
    tables = [*RETURN_SETS.values(), ALL_ADDITIONS, COMPUTED]
    assert all(keyword_for_tag(tag) for table in tables for level in Level for tag in table[level])


def test_tables_are_in_tag_order_without_repeats() -> None:
    for table in (*RETURN_SETS.values(), ALL_ADDITIONS, COMPUTED):
        for level in Level:
            assert list(table[level]) == sorted(set(table[level]))


def test_levels_divide_the_searchable_attributes() -> None:
    """Contract C6.2."""
    assert [len(searchable_at(level)) for level in Level] == [9, 4, 1]
    assert {attribute.keyword for attribute in SEARCHABLE} - {attribute.keyword for attribute in INDEXED} == {
        "ModalitiesInStudy"
    }


def test_all_leaves_out_the_model_name() -> None:
    """Contract C6.5: the lean set has it, `all` does not."""
    assert 0x00081090 in RETURN_SETS["lean"][Level.SERIES]
    assert 0x00081090 not in all_return_set(Level.SERIES)
    assert 0x00080031 in all_return_set(Level.SERIES)
