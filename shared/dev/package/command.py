"""`make package`: the zip that is deployed, of the files of this tree and of the wheels that requirements.txt pins."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.dev import lock
from shared.dev.package import archive
from shared.dev.package import bytecode as package_bytecode
from shared.dev.package import files as package_files
from shared.dev.package import sizes as package_sizes
from shared.dev.package import wheels as package_wheels
from shared.dev.package.files import PackageError
from shared.dev.package.sizes import Size
from shared.dev.package.wheels import SITE_PACKAGES, Target, Wheel
from shared.dev.repository import ROOT

DEPLOYED_PYTHON = "3.13"
HERE = "here"
DOCUMENT = Path("docs/package.md")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was built.

    Attributes:
        path: the zip.
        sha256: of the zip.
        contents: SHA-256 of what is in it, whatever compressed it.
        wheels: what is installed in it.
        sizes: of its parts, largest first.
    """

    path: Path
    sha256: str
    contents: str
    wheels: tuple[Wheel, ...]
    sizes: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Means:
    """What a package is built with.

    Attributes:
        wheels: folder of wheels, which a later build takes again.
        offline: fetch nothing.
        bytecode: the interpreter that compiles, of the target's version; None compiles nothing.
    """

    wheels: Path
    offline: bool = False
    bytecode: str | None = None


def build(root: Path, target: Target, output: Path, means: Means) -> Package:
    """Build the zip of an app, and a file of its checksum beside it.

    Args:
        root: the app's folder.
        target: for which interpreter.
        output: folder of the zip.
        means: what it is built with.

    Raises:
        PackageError: with what is wrong; there is no zip then.
    """
    project = lock.read_project(root)["project"]
    app = package_files.contents(root)
    wanted = package_wheels.required((root / lock.RUNTIME).read_text(encoding="utf-8"), target)
    wheels = package_wheels.gather(wanted, target, means.wheels, offline=means.offline)
    parts: dict[str, dict[str, bytes]] = {package_sizes.ITSELF: app}
    for name, files in package_wheels.installed(wheels).items():
        parts[name] = {f"{SITE_PACKAGES}/{path}": content for path, content in files.items()}
    if means.bytecode:
        _add_bytecode(parts, target, means.bytecode)
    path = output / f"{project['name']}-{project['version']}-{target.name}.zip"
    archive.write(path, {name: content for files in parts.values() for name, content in files.items()})
    sha256 = archive.digest(path)
    path.with_name(f"{path.name}.sha256").write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
    return Package(path, sha256, archive.contents_digest(path), wheels, _sizes(parts, path))


def _add_bytecode(parts: Mapping[str, dict[str, bytes]], target: Target, interpreter: str) -> None:
    """Give each part the bytecode of its modules."""
    owners = {file: files for files in parts.values() for file in files}
    whole = {file: content for files in parts.values() for file, content in files.items()}
    for name, content in package_bytecode.compiled(whole, target, interpreter).items():
        owners[package_bytecode.source_of(name)][name] = content


def _sizes(parts: Mapping[str, Mapping[str, bytes]], path: Path) -> tuple[Size, ...]:
    lengths = {name: {file: len(content) for file, content in files.items()} for name, files in parts.items()}
    return package_sizes.measure(lengths, archive.packed_sizes(path))


def _tell(package: Package) -> None:
    print(package_sizes.listing(package.sizes))
    print(f"{package.path}: {package.path.stat().st_size:,} bytes")
    print(f"  sha256 {package.sha256}\n  contents {package.contents}")
    for warning in package_sizes.warnings(package.sizes):
        print(f"make package: WARNING: {warning}", file=sys.stderr)


def _document(package: Package, document: Path, *, write: bool) -> None:
    if write:
        package_sizes.written(document, package.sizes)
    elif document.is_file() and not package_sizes.is_told(document.read_text(encoding="utf-8"), package.sizes):
        print(f"{DOCUMENT} tells other sizes; `python -m shared.dev.package --write-table` writes these into it.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m shared.dev.package", description="Build the deployable zip.")
    text = f"interpreter it is for, `{HERE}` for the one that runs this (default: {DEPLOYED_PYTHON}, as deployed)"
    parser.add_argument("--python-version", default=DEPLOYED_PYTHON, metavar="VERSION", help=text)
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the app (default: this repository)")
    parser.add_argument("--output", type=Path, default=Path("dist"), help="folder of the zip (default: dist)")
    parser.add_argument("--wheels", type=Path, default=Path("build/wheels"), help="folder of wheels, kept for later")
    parser.add_argument("--offline", action="store_true", help="fetch nothing; a missing wheel is an error")
    text = "add bytecode, compiled by this interpreter, which must be of the version that the package is for"
    parser.add_argument("--bytecode", metavar="COMMAND", help=text)
    parser.add_argument("--unpack", type=Path, metavar="FOLDER", help="unpack the zip there as well")
    parser.add_argument("--write-table", action="store_true", help=f"write the sizes into {DOCUMENT}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Build a package and tell its size; 0 when done."""
    options = _parser().parse_args(arguments)
    here = ".".join(str(part) for part in sys.version_info[:2])
    try:
        target = Target(here if options.python_version == HERE else options.python_version)
        means = Means(options.wheels, options.offline, options.bytecode)
        if not means.offline:
            print(f"Wheels that are not in {means.wheels} are fetched, which takes minutes ...", file=sys.stderr)
        package = build(options.root, target, options.output, means)
        _tell(package)
        # The document tells the sizes of what the command makes when it is told nothing.
        if target.python == DEPLOYED_PYTHON and not means.bytecode:
            _document(package, options.root / DOCUMENT, write=options.write_table)
        elif options.write_table:
            raise PackageError(f"{DOCUMENT} tells sizes for Python {DEPLOYED_PYTHON} without bytecode")
        if options.unpack:
            archive.unpack(package.path, options.unpack)
    except (PackageError, OSError, ValueError) as error:
        print(f"make package: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
