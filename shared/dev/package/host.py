"""The local host on an unpacked package, where nothing can be imported but what was packed and the host itself.

Run as `python -I -S shared/dev/package/host.py FOLDER [options of the host]`: `-m` would put this tree on the path. No
package of this machine is found, nor any module of the tree but those of `shared.dev`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

_TOOLS = Path(__file__).resolve().parents[1]
# As in wheels.py, which cannot be imported before the path is sealed.
_SITE_PACKAGES = ".python_packages/lib/site-packages"


def command(folder: Path) -> list[str]:
    """What runs the host on an unpacked package; its options may follow."""
    return [sys.executable, "-I", "-S", "-u", str(Path(__file__).resolve()), str(folder.resolve())]


def _seal(folder: Path) -> None:
    """Leave nothing to be imported but the standard library, the package, and the tools."""
    if not (sys.flags.isolated and sys.flags.no_site):
        raise SystemExit("run it as `python -I -S`; packages of this machine would be found otherwise")
    sys.path += [str(folder / _SITE_PACKAGES), str(folder)]
    # Before anything else of that name can be: the app's own, which has no tools in it.
    importlib.import_module("shared")
    spec = importlib.util.spec_from_file_location(
        "shared.dev", _TOOLS / "__init__.py", submodule_search_locations=[str(_TOOLS)]
    )
    if spec is None or spec.loader is None:
        raise SystemExit(f"{_TOOLS} has no tools")
    module = importlib.util.module_from_spec(spec)
    sys.modules["shared.dev"] = module
    spec.loader.exec_module(module)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the package; what the local host gives back."""
    folder, *options = sys.argv[1:] if arguments is None else arguments
    _seal(Path(folder).resolve())
    host = importlib.import_module("shared.dev.host.command")
    return int(host.main(["--app", folder, *options]))


if __name__ == "__main__":
    raise SystemExit(main())
