"""OHIF, the viewer, as npm ships it built: unpacked once, and served from an origin of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

from shared.dev import ports
from shared.dev.host.settings import environment
from shared.dev.peers.programs import FOLDER, MissingPeer

PACKAGE, VERSION = "@ohif/app", "3.13.2"
# Of the package's file, as the registry publishes it: what is run in the browser is what was tried.
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
SITE = FOLDER / f"ohif-{VERSION}"

_PACK_SECONDS = 600.0
_INSIDE = "package/dist/"
_SOURCE_MODULE = "@ohif/extension-default.dataSourcesModule.dicomweb"


class ViewerFailed(Exception):
    """It cannot be unpacked; the text says why."""


def install(site: Path = SITE) -> None:
    """Fetch the package and unpack its site.

    Raises:
        ViewerFailed: npm does not give it, or gives something else.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ViewerFailed("npm is needed to fetch OHIF, and there is no `npm` on the PATH.")
    with tempfile.TemporaryDirectory(prefix="ohif-") as name:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", name]
        ended = subprocess.run(
            command, env=environment(), capture_output=True, text=True, check=False, timeout=_PACK_SECONDS
        )
        files = sorted(Path(name).glob("*.tgz"))
        if ended.returncode or len(files) != 1:
            raise ViewerFailed(f"npm does not give {PACKAGE}@{VERSION}: {ended.stderr.strip()[-500:]}")
        _unpack(files[0], site)


def digest_of(file: Path) -> str:
    """What the registry would publish of a file."""
    return base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()


def _unpack(file: Path, site: Path) -> None:
    if digest_of(file) != SHA512:
        raise ViewerFailed(f"npm gives another {PACKAGE}@{VERSION} than the one that was tried.")
    half = site.with_name(site.name + ".part")
    shutil.rmtree(half, ignore_errors=True)
    with tarfile.open(file) as archive:
        # Maps for debuggers are two thirds of it.
        wanted = [one for one in archive if one.name.startswith(_INSIDE) and not one.name.endswith(".map")]
        for member in wanted:
            member.name = member.name.removeprefix(_INSIDE)
        archive.extractall(half, wanted, filter="data")
    shutil.rmtree(site, ignore_errors=True)
    half.rename(site)


def configuration(root: str, more: Mapping[str, object] | None = None) -> str:
    """What the viewer is told, as the script that it loads.

    Args:
        root: what addresses of studies begin with.
        more: further words of its configuration.
    """
    source = {
        "friendlyName": "the service",
        "name": "service",
        "qidoRoot": root,
        "wadoRoot": root,
        "wadoUriRoot": root,
        "qidoSupportsIncludeField": True,
        "supportsFuzzyMatching": True,
        "supportsWildcard": False,
        "imageRendering": "wadors",
        "thumbnailRendering": "wadors",
        "enableStudyLazyLoad": True,
        "dicomUploadEnabled": True,
        "bulkDataURI": {"enabled": True},
        "omitQuotationForMultipartRequest": True,
    }
    settings = {
        "name": "peers",
        "routerBasename": "/",
        "extensions": [],
        "modes": [],
        "customizationService": {},
        "showStudyList": True,
        "maxNumberOfWebWorkers": 2,
        "showWarningMessageForCrossOrigin": True,
        "showCPUFallbackMessage": False,
        "showLoadingIndicator": True,
        "strictZSpacingForVolumeViewport": True,
        "investigationalUseDialog": {"option": "never"},
        "defaultDataSourceName": "service",
        "dataSources": [{"namespace": _SOURCE_MODULE, "sourceName": "service", "configuration": source}],
        **(more or {}),
    }
    return f"window.config = {json.dumps(settings)};"


class _Site(SimpleHTTPRequestHandler):
    """The unpacked files; a path that is none of them is the page itself, which reads it."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object, configuration: bytes, **named: object) -> None:
        self.configuration = configuration
        super().__init__(*arguments, **named)  # type: ignore[arg-type]  # as http.server calls its handlers

    def end_headers(self) -> None:
        # With these a page has shared memory, and takes only what says that it may be taken.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cross-Origin-Resource-Policy", "cross-origin")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/app-config.js":
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(self.configuration)))
            self.end_headers()
            self.wfile.write(self.configuration)
            return
        super().do_GET()

    def translate_path(self, path: str) -> str:
        file = super().translate_path(path)
        return file if Path(file).is_file() else super().translate_path("/index.html")

    def send_head(self) -> IO[bytes] | None:  # type: ignore[override]  # BytesIO there, and a file in truth
        return super().send_head()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(configuration: str, port: int = 0, site: Path = SITE) -> Iterator[str]:
    """Serve the viewer for the length of a block; gives its origin.

    Args:
        configuration: the script that tells it where studies are.
        port: 0 takes a free one.
        site: where it is unpacked.

    Raises:
        MissingPeer: it is not.
    """
    if not (site / "index.html").exists():
        raise MissingPeer("OHIF")
    handler = partial(_Site, configuration=configuration.encode(), directory=str(site))
    with ThreadingHTTPServer((ports.LOOPBACK, port), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://{ports.LOOPBACK}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
