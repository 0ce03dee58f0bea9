"""Reading a deflated file (PS3.5 §A.5) as if it were not: there is no other way to its pixels than from its start."""

from __future__ import annotations

from collections.abc import Iterator

from shared.dicom.elements import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PIXEL_KEYWORDS,
    UNDEFINED_LENGTH,
)
from shared.dicom.framing import MAX_INFLATED_BYTES, MAX_KEPT_BYTES, Header, NotDicom
from shared.dicom.stream import Part10Reader
from shared.dicom.transcoding import file_meta


class DeflatedReader(Part10Reader):
    """Inflates a file that is fed in chunks, and says where in its data set the pixel data begins.

    A chunk can grow a thousandfold: feed pieces of a few KiB.

    Attributes:
        pixels_at: offset of the pixel data's value in the inflated data set; None as long as it was not met.
    """

    def __init__(self) -> None:
        super().__init__(MAX_KEPT_BYTES, MAX_INFLATED_BYTES)
        self.pixels_at: int | None = None
        self._inflated: list[bytes] = []

    @property
    def file_meta(self) -> bytes:
        """Preamble and file meta information of the file if it were not deflated."""
        return file_meta(self.preamble, self.meta, IMPLICIT_LITTLE if self._implicit else EXPLICIT_LITTLE)

    def feed(self, chunk: bytes) -> bytes:
        """The next bytes of the inflated data set.

        Raises:
            NotDicom: the file cannot be read.
        """
        self._take_in(chunk)
        inflated, self._inflated = b"".join(self._inflated), []
        return inflated

    def _push(self, data: bytes) -> None:
        if self._inflater is not None:
            self._inflated.append(data)
        super()._push(data)

    def _element(self, header: Header) -> Iterator[None]:
        tag, _, size_bytes, length = header
        self._at += size_bytes
        if tag in PIXEL_KEYWORDS:
            self.pixels_at = self._base + self._at
        if length != UNDEFINED_LENGTH:
            yield from self._move(length, None)
        elif tag in PIXEL_KEYWORDS:
            raise NotDicom("The file has encapsulated pixel data in a transfer syntax that has none.")
        else:
            yield from self._sequence(bytearray())
