"""Small apps and small wheels, to be packaged."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.served import ROOT

FILES = {
    "function_app.py": "from shared.api import door\n",
    "host.json": "{}\n",
    "pyproject.toml": '[project]\nname = "small-app"\nversion = "1.2"\n',
    "requirements.txt": "",
    "requirements-dev.txt": "pytest==9\n",
    "local.settings.json": "{}\n",
    "stray.py": "import nothing\n",
    "shared/__init__.py": '"""Rooms."""\n',
    "shared/README.md": "# Rooms\n",
    "shared/api/__init__.py": '"""The front door."""\n',
    "shared/api/door.py": '"""A door."""\n',
    "shared/api/page.css": "p {}\n",
    "shared/api/__pycache__/door.cpython-311.pyc": "bytecode",
    "shared/dev/__init__.py": '"""Tools."""\n',
    "shared/dev/host/command.py": "import shared.api.door\n",
    "tests/__init__.py": "",
    "versions/v1.yaml": "label: v1\n",
    "versions/baselines/v1.yaml": "openapi: 3.0.1\n",
}
DEPLOYED = [
    "function_app.py",
    "host.json",
    "requirements.txt",
    "shared/__init__.py",
    "shared/api/__init__.py",
    "shared/api/door.py",
    "shared/api/page.css",
    "versions/v1.yaml",
]


def app(root: Path, files: Mapping[str, str] = FILES) -> Path:
    """An app in a folder, with the list of this repository of what is not deployed."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copyfile(ROOT / ".funcignore", root / ".funcignore")
    return root


def wheel(folder: Path, name: str, files: Mapping[str, str], tag: str = "py3-none-any", version: str = "1.0") -> Path:
    """A wheel that installers take."""
    info = f"{name}-{version}.dist-info"
    whole = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/RECORD": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in whole.items():
            archive.writestr(place, text)
    return path


def lock_of(wheels: Sequence[Path], markers: Mapping[str, str] | None = None) -> str:
    """A lock that pins wheels; those of one name and version share a pin."""
    hashes: dict[tuple[str, str], list[str]] = {}
    for path in wheels:
        name, version = path.name.split("-")[:2]
        hashes.setdefault((name, version), []).append(hashlib.sha256(path.read_bytes()).hexdigest())
    text = "# A lock.\n"
    for (name, version), digests in hashes.items():
        marker = (markers or {}).get(name)
        options = "".join(f" \\\n    --hash=sha256:{each}" for each in digests)
        text += f"{name}=={version}{f' ; {marker}' if marker else ''}{options}\n    # via nothing\n"
    return text


def names_in(path: Path) -> list[str]:
    """Names of the files in a zip."""
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()
