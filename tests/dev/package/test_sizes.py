"""Sizes of a package: told to people, to a document, and beside what the platform has."""

import pytest

from shared.dev.package import sizes as package_sizes
from shared.dev.package.sizes import DISK_LIMIT, ITSELF, MEGA, Size
from tests.support.served import ROOT

SIZES = (
    Size("pixels", 90 * MEGA, 30 * MEGA),
    Size("web", 3 * MEGA, MEGA),
    Size(ITSELF, MEGA // 2, MEGA // 5),
    Size("small", MEGA // 4, MEGA // 10),
    Size("tiny", MEGA // 4, MEGA // 10),
)
PLACE = "before\n<!-- sizes -->\nold\n<!-- end of sizes -->\nafter\n"


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "package.md"
    path.write_text(PLACE)
    return path


def test_parts_are_measured_largest_first():
    sizes = package_sizes.measure({"a": {"x": 1, "y": 2}, "b": {"z": 30}}, {"x": 1, "y": 1, "z": 9})
    assert sizes == (Size("b", 30, 9), Size("a", 3, 2))


def test_a_listing_has_every_part_and_all_of_it():
    lines = package_sizes.listing(SIZES).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["pixels", "web", "the", "small", "tiny", "all"]
    assert lines[-1].split()[1:] == ["94.0", "31.4"]


def test_a_table_lists_small_packages_together_and_the_app_by_itself():
    rows = package_sizes.table(SIZES).splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["pixels", "web", ITSELF, "2 smaller ones", "all"]
    assert rows[-1] == "| all | 94.0 | 31.4 |"


def test_the_table_is_put_into_its_place(document):
    package_sizes.written(document, SIZES)
    text = document.read_text()
    assert text.startswith("before\n<!-- sizes -->\n| package |")
    assert text.endswith("| all | 94.0 | 31.4 |\n<!-- end of sizes -->\nafter\n")
    assert package_sizes.is_told(text, SIZES)


def test_a_document_without_a_place_is_left_as_it_is(document):
    document.write_text("nothing")
    with pytest.raises(ValueError, match="no place"):
        package_sizes.written(document, SIZES)
    assert document.read_text() == "nothing"


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ((Size("pixels", 92 * MEGA, 31 * MEGA), *SIZES[1:]), True),
        ((Size("pixels", 120 * MEGA, 30 * MEGA), *SIZES[1:]), False),
        (SIZES[1:], False),
        ((*SIZES, Size("new", 9 * MEGA, 2 * MEGA)), False),
    ],
)
def test_a_table_tells_the_truth_while_it_is_about_right(document, sizes, told):
    package_sizes.written(document, SIZES)
    assert package_sizes.is_told(document.read_text(), sizes) is told


def test_what_does_not_fit_on_an_instance_is_warned_of():
    assert package_sizes.warnings(SIZES) == []
    (warning,) = package_sizes.warnings((Size("pixels", DISK_LIMIT - 5 * MEGA, 10 * MEGA),))
    assert "805.0 MB" in warning
    assert "800.0 MB" in warning


def test_the_document_of_this_repository_has_its_place_and_a_table():
    text = (ROOT / "docs" / "package.md").read_text()
    assert "<!-- sizes -->\n| package | unpacked, MB |" in text
    assert f"| {ITSELF} |" in text
    assert "\n| all |" in text
    assert text.count("<!-- end of sizes -->") == 1
