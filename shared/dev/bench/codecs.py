"""How long a frame takes to decode: the service beside pydicom with pylibjpeg's and with gdcm's codecs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID

from shared.dev.bench.report import BenchError, Figures, Progress, machine, middle, number, ratio
from shared.dev.quiet import quiet
from shared.dicom.pixels import PixelDescription, decode, describe, to_jpeg2000

SUMMARY = "processor time of a decoded frame, beside pydicom with pylibjpeg and gdcm"
HELP = """\
Decodes one grey frame (CT, 512 x 512, 16 bits) and one in colour (320 x 240, 8 bits), compressed in every transfer
syntax, in interleaved rounds of one run. Colours come out as RGB.

  ours       shared.dicom.pixels.decode
  pylibjpeg  pydicom's decoder with pylibjpeg (libjpeg, OpenJPEG, RLE); a dash where it has no codec
  gdcm       pydicom's decoder with gdcm
  ratio      ours as a part of the other's: below 1 is faster
"""

_GREY = "eCT_Supplemental.dcm"
_COLOUR = "examples_rgb_color.dcm"
_PLUGINS = ("pylibjpeg", "gdcm")
_JPEG = "1.2.840.10008.1.2.4."

Samples = Any
Encode = Callable[[Samples], bytes | bytearray]


def _encoders() -> tuple[tuple[str, str, bool, Encode], ...]:
    """Name, transfer syntax, whether it is for the picture in colour, and how to compress."""
    import imagecodecs

    def deflated(samples: Samples) -> bytes:
        return bytes(imagecodecs.deflate_encode(samples.tobytes(), raw=True))

    def jpeg_ls(samples: Samples) -> bytes | bytearray:
        return imagecodecs.jpegls_encode(samples)

    grey: tuple[tuple[str, str, Encode], ...] = (
        ("JPEG lossless", f"{_JPEG}70", lambda s: imagecodecs.jpeg8_encode(s, lossless=True, bitspersample=16)),
        ("JPEG extended, 12 bits", f"{_JPEG}51", lambda s: imagecodecs.jpeg8_encode(s & 4095, 90, bitspersample=12)),
        ("JPEG-LS", f"{_JPEG}80", jpeg_ls),
        (
            "JPEG 2000 lossless",
            f"{_JPEG}90",
            lambda s: imagecodecs.jpeg2k_encode(s, 0, codecformat="J2K", reversible=True),
        ),
        ("HTJ2K lossless", f"{_JPEG}201", lambda s: imagecodecs.htj2k_encode(s, reversible=True)),
        ("JPEG XL lossless", f"{_JPEG}110", lambda s: imagecodecs.jpegxl_encode(s, lossless=True)),
        ("Deflated frames", "1.2.840.10008.1.2.8.1", deflated),
    )
    colour: tuple[tuple[str, str, Encode], ...] = (
        ("JPEG baseline", f"{_JPEG}50", lambda s: imagecodecs.jpeg8_encode(s, 90, subsampling="422")),
        ("JPEG lossless", f"{_JPEG}70", lambda s: imagecodecs.jpeg8_encode(s, lossless=True)),
        ("JPEG-LS", f"{_JPEG}80", jpeg_ls),
        ("JPEG 2000", f"{_JPEG}91", lambda s: imagecodecs.jpeg2k_encode(s, 40, codecformat="J2K", mct=True)),
        ("HTJ2K", f"{_JPEG}203", lambda s: imagecodecs.htj2k_encode(s, 0.01, reversible=False)),
        ("JPEG XL", f"{_JPEG}112", lambda s: imagecodecs.jpegxl_encode(s, 90)),
    )
    return (*((*each[:2], False, each[2]) for each in grey), *((*each[:2], True, each[2]) for each in colour))


@dataclass(frozen=True, slots=True)
class _Subject:
    """A compressed frame, for the service and for pydicom."""

    name: str
    description: PixelDescription
    frame: bytes
    dataset: Dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=7, help="rounds, each with all (default: 7)")
    parser.add_argument("--calls", type=int, default=5, help="frames in a round (default: 5)")


def run(options: argparse.Namespace, progress: Progress) -> int:
    """Measure and print."""
    rows = []
    # pydicom logs each plugin that fails, and warns of markers that contradict the data set.
    with quiet():
        for subject in (*_compressed(), _rle(_GREY, "RLE")):
            progress.step(subject.name)
            rows.append(_row(subject, options.rounds, options.calls))
        progress.step("encoding")
        rows.append(_encoding(options.rounds, options.calls))
    progress.done()
    columns = ("frame", "ours ms", "pylibjpeg ms", "ratio", "gdcm ms", "ratio")
    title = f"Frames decoded ({machine()}; {options.rounds} rounds of {options.calls})"
    print(Figures(title, columns, tuple(rows)).text())
    return 0


def _opened(file: str) -> Dataset:
    path = get_testdata_file(file, download=False)
    if not isinstance(path, str):
        raise BenchError(f"{file} is not here; install requirements-dev.txt")
    return pydicom.dcmread(path)


def _source(file: str) -> tuple[PixelDescription, Samples]:
    dataset = _opened(file)
    description = describe(dataset, dataset.file_meta.TransferSyntaxUID)
    return description, decode(description, dataset.PixelData).samples


def _compressed() -> list[_Subject]:
    sources = {False: _source(_GREY), True: _source(_COLOUR)}
    subjects = []
    for name, syntax, in_colour, encode in _encoders():
        source, samples = sources[in_colour]
        bits = 12 if syntax == f"{_JPEG}51" else source.bits_stored
        colours = "YBR_FULL_422" if syntax == f"{_JPEG}50" else "RGB"
        description = replace(
            source,
            transfer_syntax=syntax,
            vr="OB",
            bits_stored=bits,
            high_bit=bits - 1,
            photometric=colours if in_colour else source.photometric,
            frames=1,
        )
        frame = bytes(encode(np.ascontiguousarray(samples)))
        title = f"{name}, {'colour' if in_colour else 'grey'}"
        subjects.append(_Subject(title, description, frame, _dataset(description, frame)))
    return subjects


def _rle(file: str, name: str) -> _Subject:
    dataset = _opened(file)
    source = describe(dataset, dataset.file_meta.TransferSyntaxUID)
    dataset.NumberOfFrames = 1
    dataset.PixelData = dataset.PixelData[: source.native_frame_bytes]
    dataset.compress("1.2.840.10008.1.2.5", encoding_plugin="pylibjpeg", generate_instance_uid=False)
    description = replace(source, transfer_syntax="1.2.840.10008.1.2.5", vr="OB", frames=1)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    return _Subject(f"{name}, grey", description, frame, _dataset(description, frame))


def _dataset(description: PixelDescription, frame: bytes) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(description.transfer_syntax)
    dataset.Rows, dataset.Columns = description.rows, description.columns
    dataset.SamplesPerPixel = description.samples
    dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = description.photometric
    dataset.BitsAllocated, dataset.BitsStored = description.bits_allocated, description.bits_stored
    dataset.HighBit, dataset.PixelRepresentation = description.high_bit, int(description.signed)
    dataset["PixelData"] = DataElement(0x7FE00010, "OB", encapsulate([frame]), is_undefined_length=True)
    return dataset


def _row(subject: _Subject, rounds: int, calls: int) -> tuple[str, ...]:
    def ours() -> object:
        return decode(subject.description, subject.frame)

    others = {plugin: _other(subject.dataset, plugin) for plugin in _PLUGINS}
    times: dict[str, list[float]] = {"ours": [], **{plugin: [] for plugin in _PLUGINS}}
    for _ in range(rounds):
        times["ours"].append(_ms(ours, calls))
        for plugin, other in others.items():
            if other:
                times[plugin].append(_ms(other, calls))
    base = middle(times["ours"])
    cells = []
    for plugin in _PLUGINS:
        theirs = middle(times[plugin]) if times[plugin] else 0.0
        cells += [number(theirs) if theirs else "-", ratio(base, theirs)]
    return (subject.name, number(base), *cells)


def _other(dataset: Dataset, plugin: str) -> Callable[[], object] | None:
    """Decoding by pydicom with that plugin; None where it cannot."""

    def work() -> object:
        return get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(dataset, index=0, decoding_plugin=plugin)

    try:
        work()
    except Exception:  # noqa: BLE001 - each plugin says in its own way that it has no codec for this
        return None
    return work


def _encoding(rounds: int, calls: int) -> tuple[str, ...]:
    dataset = _opened(_GREY)
    description = describe(dataset, dataset.file_meta.TransferSyntaxUID)
    frame = dataset.PixelData[: description.native_frame_bytes]
    dataset.NumberOfFrames, dataset.PixelData = 1, frame
    encoder = get_encoder("1.2.840.10008.1.2.4.90")
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_ms(lambda: to_jpeg2000(description, frame), calls))
        theirs.append(_ms(lambda: encoder.encode(dataset, index=0, encoding_plugin="pylibjpeg"), calls))
    base, other = middle(ours), middle(theirs)
    return ("to JPEG 2000 lossless, grey", number(base), number(other), ratio(base, other), "-", "-")


def _ms(work: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        work()
    return (time.process_time() - start) * 1000 / calls
