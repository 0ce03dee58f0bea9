"""The documentation page of a version: Swagger UI, with everything it needs from this service and from nowhere else."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from shared.api.about import conformance, versionlist, webpage
from shared.api.about.serving import FOR_EVER, Written
from shared.api.manifest import ApiVersion, Manifests
from shared.errors import NotFound

# Its scripts put styles on elements, and its style sheet has pictures in it; neither needs more than this.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)

_PACKAGE = "fastapi_swagger"
_OURS = Path(__file__).parent / "assets"
_JAVASCRIPT, _CSS, _PNG = "text/javascript; charset=utf-8", "text/css; charset=utf-8", "image/png"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that documentation pages load.

    Attributes:
        name: in addresses; it has a part of the file's digest in it, so that it can be kept for ever.
        path: where the file is.
        media_type: with its parameters.
    """

    name: str
    path: Path
    media_type: str


def theirs() -> Path:
    """The folder with the files of Swagger UI. The package is not imported: nothing of its code is used."""
    found = importlib.util.find_spec(_PACKAGE)
    assert found is not None, "it is among the dependencies"
    assert found.submodule_search_locations is not None, "it is a package"
    return Path(found.submodule_search_locations[0]) / "resources"


@functools.cache
def assets() -> Mapping[str, Asset]:
    """All files that pages load, by the names that pages call them."""
    files = {
        "ui.css": (theirs() / "swagger-ui.css", _CSS),
        "ui.js": (theirs() / "swagger-ui-bundle.js", _JAVASCRIPT),
        "icon.png": (theirs() / "favicon-32x32.png", _PNG),
        "page.css": (_OURS / "docs.css", _CSS),
        "page.js": (_OURS / "docs.js", _JAVASCRIPT),
    }
    return {name: Asset(_dated(name, path), path, media_type) for name, (path, media_type) in files.items()}


def _dated(name: str, path: Path) -> str:
    stem, _, ending = name.partition(".")
    return f"{stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}.{ending}"


def asset(name: str) -> Written:
    """A file by the name it has in addresses.

    Raises:
        NotFound: no page names such a file.
    """
    found = next((one for one in assets().values() if one.name == name), None)
    if found is None:
        raise NotFound("There is no such file.")
    return Written.for_long(found.path.read_bytes(), found.media_type, cache_control=FOR_EVER)


def page(version: ApiVersion, manifests: Manifests) -> Written:
    """The page of a version, at an address directly below it."""
    return Written.for_long(_html(version, manifests).encode(), webpage.TYPE, webpage.policy(POLICY))


def _html(version: ApiVersion, manifests: Manifests) -> str:
    names = {name: f"../docs/{one.name}" for name, one in assets().items()}
    title = f"{manifests.service.title}, version {version.label.name} ({versionlist.status_of(version)})"
    notice = webpage.notice(conformance.notice(version))
    links = conformance.links(version)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" type="image/png" href="{names["icon.png"]}">
<link rel="stylesheet" href="{names["ui.css"]}">
<link rel="stylesheet" href="{names["page.css"]}">
<script src="{names["ui.js"]}"></script>
<script src="{names["page.js"]}"></script>
</head>
<body>
<div class="top"><div class="in"><strong>{escape(title)}</strong>{webpage.navigation(links)}</div></div>
{notice}
<div id="swagger-ui"><p class="plain">This page needs JavaScript, and its address ends with docs, without a slash. The
document that it shows is behind the links at its top.</p></div>
</body>
</html>
"""
