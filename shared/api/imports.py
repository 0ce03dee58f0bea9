"""How dropped files are judged: by the rules of one version, which a setting names."""

from __future__ import annotations

import functools

from shared.api import audit
from shared.api.decode import ManifestError
from shared.api.manifest import ApiVersion, Manifests
from shared.settings import Settings
from shared.stow.importing import ImportConduct
from shared.stow.rules import rules_of


def conduct_of(manifests: Manifests, settings: Settings) -> ImportConduct:
    """How this app imports.

    Raises:
        ManifestError: the setting names a version that never was.
    """
    version = _version(manifests, settings)
    told = functools.partial(audit.write_import, version.label.text)
    return ImportConduct(rules_of(version.behaviours), settings.imports.keep_stored, told)


def _version(manifests: Manifests, settings: Settings) -> ApiVersion:
    named = settings.imports.version
    if named:
        for version in manifests.versions:
            if version.label.spelled(named):
                return version
        # A setting may go on naming a version that was retired since.
        if not any(end.label.spelled(named) for end in manifests.retired):
            raise ManifestError([f"DICOM_IMPORT_VERSION names {named!r}, which is no version of this service"])
    stable = [version for version in manifests.versions if version.stability == "stable"]
    return (stable or list(manifests.versions))[-1]
