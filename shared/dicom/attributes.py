"""Which attributes a search takes and gives back (contract C6.2, C6.5), as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """What a resource is about; order is from the widest to the narrowest."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that can be searched for.

    Attributes:
        level: where it is indexed.
        computed: gathered from the level below, so no file carries it.
    """

    tag: int
    keyword: str
    vr: str
    level: Level
    computed: bool = False


# Contract C6.2.
SEARCHABLE = (
    Attribute(0x0020000D, "StudyInstanceUID", "UI", Level.STUDY),
    Attribute(0x00100010, "PatientName", "PN", Level.STUDY),
    Attribute(0x00100020, "PatientID", "LO", Level.STUDY),
    Attribute(0x00100030, "PatientBirthDate", "DA", Level.STUDY),
    Attribute(0x00080050, "AccessionNumber", "SH", Level.STUDY),
    Attribute(0x00080090, "ReferringPhysicianName", "PN", Level.STUDY),
    Attribute(0x00080020, "StudyDate", "DA", Level.STUDY),
    Attribute(0x00081030, "StudyDescription", "LO", Level.STUDY),
    Attribute(0x00080061, "ModalitiesInStudy", "CS", Level.STUDY, computed=True),
    Attribute(0x0020000E, "SeriesInstanceUID", "UI", Level.SERIES),
    Attribute(0x00080060, "Modality", "CS", Level.SERIES),
    Attribute(0x00400244, "PerformedProcedureStepStartDate", "DA", Level.SERIES),
    Attribute(0x00081090, "ManufacturerModelName", "LO", Level.SERIES),
    Attribute(0x00080018, "SOPInstanceUID", "UI", Level.INSTANCE),
)  # fmt: skip

# What a file is checked for when it is stored: searchable and not computed.
INDEXED = tuple(attribute for attribute in SEARCHABLE if not attribute.computed)

# Contract C6.5, the default answer of each level.
FULL_RETURN_SET: dict[Level, tuple[int, ...]] = {
    Level.STUDY: (
        0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080056, 0x00080090, 0x00080201,
        0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x0020000D, 0x00200010,
    ),
    Level.SERIES: (
        0x00080005, 0x00080060, 0x00080201, 0x0008103E, 0x0020000E, 0x00400244, 0x00400245, 0x00400275,
    ),
    Level.INSTANCE: (
        0x00080005, 0x00080016, 0x00080018, 0x00080056, 0x00080201,
        0x00200013, 0x00280008, 0x00280010, 0x00280011, 0x00280100,
    ),
}  # fmt: skip
LEAN_RETURN_SET: dict[Level, tuple[int, ...]] = {
    Level.STUDY: (
        0x00080020, 0x00080050, 0x00080090, 0x00081030, 0x00100010, 0x00100020, 0x00100030, 0x0020000D,
    ),
    Level.SERIES: (0x00080060, 0x00081090, 0x0020000E, 0x00400244),
    Level.INSTANCE: (0x00080018,),
}  # fmt: skip
RETURN_SETS = {"full": FULL_RETURN_SET, "lean": LEAN_RETURN_SET}

# What `includefield=all` adds to the full set; it leaves out ManufacturerModelName, as the original does.
ALL_ADDITIONS: dict[Level, tuple[int, ...]] = {
    Level.STUDY: (
        0x00080063, 0x00081030, 0x00081032, 0x00081060, 0x00081080, 0x00081110,
        0x00101010, 0x00101020, 0x00101030, 0x00102180, 0x001021B0,
    ),
    Level.SERIES: (0x00080021, 0x00080031, 0x00200011, 0x00200060),
    Level.INSTANCE: (),
}  # fmt: skip

# Computed attributes that an answer carries only when they are asked for by name.
COMPUTED: dict[Level, tuple[int, ...]] = {
    Level.STUDY: (0x00080061, 0x00201208),
    Level.SERIES: (0x00201209,),
    Level.INSTANCE: (),
}


def searchable_at(level: Level) -> tuple[Attribute, ...]:
    """The searchable attributes that are indexed at one level."""
    return tuple(attribute for attribute in SEARCHABLE if attribute.level is level)


def all_return_set(level: Level) -> tuple[int, ...]:
    """The tags that `includefield=all` stands for at one level, ascending."""
    return tuple(sorted(FULL_RETURN_SET[level] + ALL_ADDITIONS[level]))
