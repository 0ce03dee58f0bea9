"""`python -m shared.dev.infra`: what can be known of the Bicep files without Azure.

`check` looks at syntax, names, properties, rules and settings, and has them compiled where there is a compiler.
`record` writes the table of properties anew, `workbook` the workbook of docs/operating.md.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.api import manifest
from shared.dev.host.settings import environment
from shared.dev.infra.apps import app_findings
from shared.dev.infra.names import name_findings
from shared.dev.infra.policy import policy_findings
from shared.dev.infra.properties import property_findings, record
from shared.dev.infra.settings import ending_findings, parameter_findings, setting_findings
from shared.dev.infra.source import Finding, read_all, syntax_findings
from shared.dev.infra.workbook import FILE, PAGE, workbook, workbook_findings
from shared.dev.repository import ROOT

FOLDER = ROOT / "infra"
# Parameter files ask for these; any value compiles.
_ASKED_FOR = {"AZURE_TENANT_ID": "tenant", "DICOM_AUDIENCE": "audience", "DICOM_ALERT_EMAIL": "somebody@example.org"}


def findings(folder: Path = FOLDER, root: Path = ROOT) -> list[Finding]:
    """Everything that is wrong with a folder of Bicep files.

    Args:
        folder: the Bicep files and the table of properties.
        root: the repository: its code writes the log, its versions are served.
    """
    sources = read_all(folder)
    found = [finding for source in sources.values() for finding in syntax_findings(source)]
    if found or not sources:
        return found or [Finding(folder.name, 1, "there is no Bicep file")]
    versions = manifest.load(root / "versions").versions
    labels = [version.label.text for version in versions]
    ending = [version.label.text for version in versions if version.deprecation is not None]
    found += name_findings(sources)
    found += property_findings(sources, folder)
    found += policy_findings(sources, root / "shared")
    found += setting_findings(sources)
    found += parameter_findings(sources, labels)
    found += ending_findings(sources, ending)
    found += workbook_findings(sources)
    if not found:  # what follows works with the files
        found += app_findings(sources, labels)
    return sorted(found, key=lambda each: (each.file, each.line, each.text))


def compiled(folder: Path = FOLDER) -> str:
    """What Bicep's own compiler says: `COMPILED`, `NOT COMPILED` and why, or its errors."""
    bicep = shutil.which("bicep")
    az = shutil.which("az")
    if bicep is None and az is None:
        return "NOT COMPILED: there is neither bicep nor az here"
    command = [bicep] if bicep else [str(az), "bicep"]
    for path in [folder / "main.bicep", *sorted(folder.glob("*.bicepparam"))]:
        word = ["build"] if path.suffix == ".bicep" else ["build-params"]
        named = [str(path)] if bicep else ["--file", str(path)]
        done = subprocess.run(
            [*command, *word, *named, "--stdout"],
            env={**_ASKED_FOR, **environment()},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode:
            return f"FAILED: {path.name} does not compile\n{done.stderr.strip()}"
    return "COMPILED"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its result is the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shared.dev.infra", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("check", help="say what is wrong with infra/")
    recording = actions.add_parser("record", help="write infra/types.yaml anew")
    recording.add_argument("definitions", type=Path, help="a checkout of the repository Azure/bicep-types-az")
    actions.add_parser("workbook", help=f"write infra/{FILE} anew")
    chosen = parser.parse_args(arguments)
    if chosen.action == "workbook":
        (FOLDER / FILE).write_text(workbook(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"{FOLDER.name}/{FILE} is written")
        return 0
    if chosen.action == "record":
        found = record(read_all(FOLDER), chosen.definitions, FOLDER)
        print(*found, sep="\n", file=sys.stderr) if found else print(f"{FOLDER.name}/types.yaml is written")
        return 1 if found else 0
    found = findings()
    for each in found:
        print(f"infra/{each}", file=sys.stderr)
    said = compiled()
    print(f"infra: {len(found)} findings in {len(read_all(FOLDER))} files. {said}")
    return 1 if found or said.startswith("FAILED") else 0


if __name__ == "__main__":
    sys.exit(main())
