"""All versions together: who serves an operation, and which headers follow from that (contract a.3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shared.api.labels import Label
from shared.api.manifest import ApiVersion, Row
from shared.api.patterns import Pattern

PARTITION_PREFIX = "partitions/{partitionName}/"

HeaderLines = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A row that has a path, with the version it belongs to."""

    version: ApiVersion
    row: Row


@dataclass(frozen=True, slots=True)
class Lineup:
    """The versions of all manifests but retired ones, ascending, whether this app serves them or not."""

    versions: tuple[ApiVersion, ...]
    _paths: tuple[tuple[Pattern, Found], ...]

    @classmethod
    def of(cls, versions: Sequence[ApiVersion]) -> Lineup:
        """The lineup of some versions."""
        ordered = tuple(sorted(versions, key=lambda version: version.label))
        paths = tuple(
            (Pattern.of(path), Found(version, row))
            for version in ordered
            for row in version.rows
            for path in paths_of(row)
        )
        return cls(ordered, paths)

    def spelled(self, segment: str) -> ApiVersion | None:
        """The version a caller's version segment means, or None."""
        return next((version for version in self.versions if version.label.spelled(segment)), None)

    def at(self, path: str) -> list[Found]:
        """Rows of all versions that have a path; the path is what follows the version segment, decoded."""
        segments = path.removesuffix("/").split("/")
        return [found for pattern, found in self._paths if pattern.matches(segments)]

    def headers_for(self, operation: str) -> HeaderLines:
        """Version headers of an operation."""
        return self.headers_of({v.label for v in self.versions if any(row.operation == operation for row in v.rows)})

    def headers_at(self, found: Sequence[Found]) -> HeaderLines:
        """Version headers of some rows together; of all versions when there is no row."""
        return self.headers_of({one.version.label for one in found} or {v.label for v in self.versions})

    def headers_of(self, labels: Collection[Label]) -> HeaderLines:
        """Version headers that name some versions, each in its list; an empty list gives no header."""
        chosen = [version for version in self.versions if version.label in labels]
        supported = ", ".join(version.label.name for version in chosen if version.deprecation is None)
        deprecated = ", ".join(version.label.name for version in chosen if version.deprecation is not None)
        lines = (("api-supported-versions", supported), ("api-deprecated-versions", deprecated))
        return tuple((name, value) for name, value in lines if value)


def paths_of(row: Row) -> tuple[str, ...]:
    """All paths of a row below its version: its own and, when it is partitioned, the one with a partition."""
    return (row.path, PARTITION_PREFIX + row.path) if row.partitioned else (row.path,)
