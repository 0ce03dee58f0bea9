"""The wheels that a package is made of: chosen by the lock, fetched once, known by their hashes."""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from shared.dev import lock
from shared.dev.package.files import PackageError

SITE_PACKAGES = ".python_packages/lib/site-packages"
"""Where the worker looks for installed packages in an app's folder."""
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_PYTHON = re.compile(r"3\.(?:1[1-9]|[2-9][0-9])")
# Wheels for this C library or an older one. Images of the worker for Python 3.11 and later have a newer one.
_NEWEST_GLIBC = 28
_LEGACY = {17: "manylinux2014_x86_64", 12: "manylinux2010_x86_64", 5: "manylinux1_x86_64"}


@dataclass(frozen=True, slots=True)
class Target:
    """CPython on 64-bit Linux, as the Functions worker runs it.

    Attributes:
        python: such as 3.13.
    """

    python: str

    def __post_init__(self) -> None:
        if not _PYTHON.fullmatch(self.python):
            raise PackageError(f"{self.python!r} is no version of Python to package for, such as 3.13")

    @property
    def name(self) -> str:
        """Such as cp313-linux-x86_64."""
        return f"{self.interpreter}-linux-x86_64"

    @property
    def interpreter(self) -> str:
        """Such as cp313."""
        return "cp" + self.python.replace(".", "")

    def environment(self) -> dict[str, str]:
        """What markers of requirements are compared with; never this machine's own values."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    def tags(self) -> dict[Tag, int]:
        """Tags of wheels that fit, with their rank; 0 fits best."""
        numbers = tuple(int(part) for part in self.python.split("."))
        exact = cpython_tags(numbers, [self.interpreter], platforms())
        loose = compatible_tags(numbers, self.interpreter, platforms())
        ranked: dict[Tag, int] = {}
        for tag in itertools.chain(exact, loose):
            ranked.setdefault(tag, len(ranked))
        return ranked


@functools.cache
def platforms() -> tuple[str, ...]:
    """Names of the platforms whose wheels fit, best first."""
    return tuple(
        name
        for number in range(_NEWEST_GLIBC, 4, -1)
        for name in (f"manylinux_2_{number}_x86_64", _LEGACY.get(number))
        if name
    )


@dataclass(frozen=True, slots=True)
class Requirement:
    """One pin of the lock, with the hashes that its files may have."""

    name: str
    version: str
    hashes: frozenset[str]

    def line(self) -> str:
        """As pip reads it."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{each}" for each in sorted(self.hashes))])


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel whose bytes are those that the lock names."""

    name: str
    version: str
    sha256: str
    path: Path


def required(text: str, target: Target) -> tuple[Requirement, ...]:
    """The pins of a lock that apply to a target.

    Raises:
        PackageError: a pin has no hash.
    """
    found = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        for pin in lock.pins(block):
            if pin.marker and not Marker(pin.marker).evaluate(target.environment()):
                continue
            found.append(Requirement(pin.name, pin.version, frozenset(_HASH.findall(block))))
    if bare := [each.name for each in found if not each.hashes]:
        raise PackageError(f"{', '.join(bare)}: the lock has no hash")
    return tuple(found)


def gather(requirements: Sequence[Requirement], target: Target, cache: Path, *, offline: bool) -> tuple[Wheel, ...]:
    """A wheel for each requirement. What the cache holds already is not fetched again.

    Args:
        requirements: what is wanted.
        target: for which interpreter.
        cache: folder of wheels; each target has a folder of its own below it, so that what one fetched cannot change
            what another one takes.
        offline: whether a wheel that is missing is an error.

    Raises:
        PackageError: a wheel could not be had.
    """
    folder = cache / target.name
    folder.mkdir(parents=True, exist_ok=True)
    held = _held(folder, requirements, target)
    missing = [each for each in requirements if each.name not in held]
    if missing and offline:
        raise PackageError(f"{folder} holds no wheel of {', '.join(each.name for each in missing)} that the lock names")
    if missing:
        _download(missing, target, folder)
        held = _held(folder, requirements, target)
    if lost := [each.name for each in requirements if each.name not in held]:
        raise PackageError(f"what pip fetched for {', '.join(lost)} is not what the lock names")
    return tuple(held[each.name] for each in requirements)


def _held(folder: Path, requirements: Sequence[Requirement], target: Target) -> dict[str, Wheel]:
    """The best wheel of the folder for each requirement that has one."""
    wanted = {each.name: each for each in requirements}
    tags = target.tags()
    best: dict[str, tuple[int, Wheel]] = {}
    for path in sorted(folder.glob("*.whl")):
        try:
            name, version, _, fits = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        requirement = wanted.get(canonicalize_name(name))
        ranks = [tags[tag] for tag in fits if tag in tags]
        if requirement is None or not ranks or version != Version(requirement.version):
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in requirement.hashes:
            wheel = Wheel(requirement.name, requirement.version, digest, path)
            best[wheel.name] = min(best.get(wheel.name, (sys.maxsize, wheel)), (min(ranks), wheel), key=_rank)
    return {name: wheel for name, (_, wheel) in best.items()}


def _rank(ranked: tuple[int, Wheel]) -> int:
    return ranked[0]


def _download(requirements: Sequence[Requirement], target: Target, folder: Path) -> None:
    """Fetch with pip, so that its configuration (mirrors, proxies, certificates) counts; hashes are required."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        listed = Path(made) / "wanted.txt"
        listed.write_text("\n".join(each.line() for each in requirements) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--implementation", "cp"]
        command += ["--python-version", target.python, "--abi", target.interpreter]
        command += [option for name in platforms() for option in ("--platform", name)]
        command += ["--dest", made, "--requirement", str(listed)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or run.stderr.splitlines()
            raise PackageError("pip could not fetch the wheels:\n" + "\n".join(f"  {line}" for line in errors[-5:]))
        for path in Path(made).glob("*.whl"):
            shutil.move(path, folder / path.name)


def unpacked(wheel: Wheel) -> dict[str, bytes]:
    """The files of a wheel where they are installed, below the folder of packages.

    Commands and headers are left out: nothing calls them on Azure. So is bytecode.

    Raises:
        PackageError: a file would be written elsewhere.
    """
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(wheel.path) as archive:
        for entry in archive.infolist():
            place = None if entry.is_dir() else _place(entry.filename, wheel)
            if place is not None:
                files[place] = archive.read(entry)
    return files


def _place(name: str, wheel: Wheel) -> str | None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise PackageError(f"{wheel.path.name} holds a file outside of itself: {name}")
    if path.suffix == ".pyc" or "__pycache__" in path.parts:
        return None
    if not path.parts[0].endswith(".data"):
        return path.as_posix()
    return "/".join(path.parts[2:]) if path.parts[1] in ("purelib", "platlib") else None


def installed(wheels: Sequence[Wheel]) -> dict[str, Mapping[str, bytes]]:
    """The files of each wheel by its name.

    Raises:
        PackageError: two wheels bring the same file with different bytes, or one hides a name of the app.
    """
    found: dict[str, Mapping[str, bytes]] = {}
    owners: dict[str, str] = {}
    for wheel in wheels:
        files = unpacked(wheel)
        for path, content in files.items():
            # The worker searches installed packages before the app.
            if path.split("/")[0].removesuffix(".py") in ("function_app", "shared", "versions"):
                raise PackageError(f"{wheel.name} brings {path}, which would hide the app's own")
            other = owners.setdefault(path, wheel.name)
            if other != wheel.name and found[other][path] != content:
                raise PackageError(f"{wheel.name} and {other} both bring {path}, and not the same one")
        found[wheel.name] = files
    return found
