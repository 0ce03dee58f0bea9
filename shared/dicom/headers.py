"""The part of a file before its pixel data: where its elements lie, and the data set that it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from shared.dicom.elements import PIXEL_KEYWORDS, SPECIFIC_CHARACTER_SET, UNDEFINED_LENGTH, is_bulk, settled_vr
from shared.dicom.framing import Header, NotDicom
from shared.dicom.nested import ENCAPSULATING_VRS
from shared.dicom.part10 import Part10Scanner
from shared.dicom.pixels import CannotDecode
from shared.dicom.text import python_encodings

# Bulk values that are no pixels are worth holding when they say how pixels look: lookup tables, palettes.
_IMAGE_PRESENTATION_GROUP = 0x0028


class Span(NamedTuple):
    """Where a top-level element lies; the value of one without a length stops behind its delimiter."""

    tag: int
    vr: str | None
    start: int
    value_start: int
    stop: int
    undefined: bool


class HeaderReader(Part10Scanner):
    """Reads a file up to the header of its pixel data; the file may end there.

    Attributes:
        spans: of the elements but the pixel data.
        pixels: header of the pixel data; its stop is its value's start. None when there is none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []
        self.pixels: Span | None = None

    @property
    def implicit(self) -> bool:
        """Whether the data set is in implicit VR."""
        return self._implicit

    @property
    def little(self) -> bool:
        """Whether the data set is in little endian."""
        return self._little

    def _take_at_once(self, header: Header) -> bool:
        return False

    def _element(self, header: Header) -> Iterator[None]:
        tag, vr, size_bytes, length = header
        start = self._base + self._at
        undefined = length == UNDEFINED_LENGTH
        if tag in PIXEL_KEYWORDS:
            self._at += size_bytes
            self.pixels = Span(tag, vr, start, start + size_bytes, start + size_bytes, undefined)
            return
        yield from super()._element(header)
        self.spans.append(Span(tag, vr, start, start + size_bytes, self._base + self._at, undefined))


def read_header(header: bytes) -> HeaderReader:
    """The elements of a file that ends with the header of its pixel data.

    Raises:
        CannotDecode: it is broken.
    """
    reader = HeaderReader()
    try:
        reader.feed(header)
        reader.finish()
    except NotDicom as error:
        raise CannotDecode(str(error)) from error
    return reader


def parse_header(header: bytes) -> Dataset:
    """The data set of such a file; its pixel data is there without a value.

    Values and sequences stay raw until somebody asks for them, and pydicom may raise many things then. Bulk values are
    left out unless they are in the group of image presentation.

    Raises:
        CannotDecode: it is broken.
    """
    reader = read_header(header)
    spans = [span for span in reader.spans if _is_held(span)]
    if reader.pixels is not None:
        spans.append(reader.pixels)
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    character_set = b""
    for span in spans:
        elements[BaseTag(span.tag)] = raw = _raw(span, header, little=reader.little)
        if span.tag == SPECIFIC_CHARACTER_SET:
            character_set = raw.value or b""
    dataset = Dataset(elements)
    dataset.set_original_encoding(reader.implicit, reader.little, list(python_encodings(character_set)))
    return dataset


def _is_held(span: Span) -> bool:
    return span.tag >> 16 == _IMAGE_PRESENTATION_GROUP or not is_bulk(span.tag, span.vr, span.stop - span.value_start)


def _raw(span: Span, header: bytes, *, little: bool) -> RawDataElement:
    value = header[span.value_start : span.stop]
    tag, vr, implicit = BaseTag(span.tag), span.vr, span.vr is None
    if span.undefined and settled_vr(span.tag, vr, UNDEFINED_LENGTH) not in ENCAPSULATING_VRS:
        # Items of a sequence whose VR is UN are in implicit VR (PS3.5 §6.2.2 note 5).
        vr, implicit = "SQ", vr != "SQ"
    return RawDataElement(tag, vr, len(value), value, 0, implicit, little)
