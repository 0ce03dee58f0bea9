"""Where this repository is."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ROOT / "versions"
SAMPLE_SETTINGS = ROOT / "local.settings.sample.json"
