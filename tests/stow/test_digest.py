"""What is drawn from a received file for its row: where its frames are, and about how much room that takes."""

from __future__ import annotations

import base64
import random

import orjson

from shared.behaviours import InvalidOtherValue, InvalidSearchableValue, NulPadding, PatientIdRule
from shared.dicom.validation import ValidationRules
from shared.storage.rows import instance_entity
from shared.stow import store as store_module
from shared.stow.digest import digest, new_instance
from tests.support.pixels import JPEG, PixelFile, file_of, scan

LENIENT = ValidationRules(
    PatientIdRule.MUST_BE_PRESENT, InvalidSearchableValue.WARN, InvalidOtherValue.WARN, NulPadding.TRIMMED
)


def many_fragments(count: int) -> PixelFile:
    dice = random.Random(count)
    sizes = [2 * dice.randrange(1, 500) for _ in range(count)]
    return PixelFile(syntax=JPEG, frames=str(count), fragments=[bytes(size) for size in sizes])


def test_a_digest_knows_the_frames() -> None:
    pixels = digest(scan(file_of(many_fragments(7))), LENIENT, None).pixels
    assert pixels is not None
    assert (pixels.keyword, pixels.vr, pixels.encapsulated, pixels.frames) == ("PixelData", "OB", True, 7)
    native = digest(scan(file_of(PixelFile(value=bytes(32), frames="2"))), LENIENT, None).pixels
    assert native is not None
    assert (native.frames, native.frame_bits, native.starts) == (2, 128, b"")


def test_a_refused_file_has_none() -> None:
    assert digest(scan(file_of(many_fragments(2))), LENIENT, "1.2.999").pixels is None


def test_a_row_takes_no_more_room_than_was_thought() -> None:
    for count in (1, 256, 257):
        scanned = scan(file_of(many_fragments(count)))
        instance = new_instance(scanned, digest(scanned, LENIENT, None), "0/0123456789ABCDEFGHJKMNPQRS/1/" + "0" * 26)
        entity = instance_entity(instance, b"x" * (len(instance.metadata) // 10), 1, "0" * 26)
        row = orjson.dumps(entity, default=lambda value: base64.b64encode(value).decode())
        assert len(row) < store_module._row_bytes(instance)
        assert store_module._row_bytes(instance) < 3000 + len(instance.metadata) + 1500 * (count == 256)


def test_many_fragments_are_work_for_a_thread() -> None:
    assert store_module._is_much_work(scan(file_of(many_fragments(30_000))))
    assert not store_module._is_much_work(scan(file_of(many_fragments(300))))
