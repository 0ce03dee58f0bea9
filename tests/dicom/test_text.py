from __future__ import annotations

import pytest

from shared.dicom.text import decode_text, python_encodings


@pytest.mark.parametrize(
    ("character_set", "value", "text"),
    [
        (b"", b"caf\xe9", "café"),
        (b"ISO_IR 100 ", b"caf\xe9", "café"),
        (b"ISO-IR 100", b"caf\xe9", "café"),
        (b"ISO_IR 192", "Größe 山".encode(), "Größe 山"),
        (b"ISO_IR 144", "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (b"\\ISO 2022 IR 149", b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce", "Hong=洪^吉"),
        (b"ISO_2022_IR_6\\ISO_2022_IR_87", b"\x1b$B;3ED\x1b(B", "山田"),
        (b"GB18030\\ISO 2022 IR 87", "王".encode("gb18030"), "王"),
        (b"ISO_IR 192", b"a\xffb", "a\ufffdb"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 126", b"\x1b-F\xe1\n\xe1", "α\ná"),
        (b"no such set", b"caf\xe9", "café"),
        (b"base64", b"caf\xe9", "café"),
        (b"unicode_escape", b"\\ud800", "\\ud800"),
        (b"UTF-8", "山".encode(), "山"),
        (b"ISO 2022 IR 87", b"\x1b?unknown", "\x1b?unknown"),
    ],
)
def test_a_value_is_read_in_its_character_set(character_set: bytes, value: bytes, text: str) -> None:
    assert decode_text(value, python_encodings(character_set)) == text


@pytest.mark.parametrize("character_set", [b"\xff\xfe", b"\\\\\\", b"ISO", b"ISO_IR 9999", b"\0", b"a\0b"])
def test_a_broken_character_set_is_the_default_one(character_set: bytes) -> None:
    assert python_encodings(character_set)[0] == "iso8859"
