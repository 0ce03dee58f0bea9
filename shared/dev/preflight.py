"""What a machine needs before anything can be installed. Written so that an old Python 3 can read it and say so."""

import subprocess
import sys

LOWEST_PYTHON = (3, 11)
HIGHEST_PYTHON = (3, 14)
LOWEST_NODE = 20


def python_fault(version: "tuple[int, ...]") -> str:
    """What is wrong with a Python of that version; empty when nothing is."""
    if LOWEST_PYTHON <= tuple(version[:2]) <= HIGHEST_PYTHON:
        return ""
    found = ".".join(str(part) for part in version[:3])
    return "Python 3.11 to 3.14 is needed, this is " + found + ". Install one, or name it: make PYTHON=python3.12 ..."


def venv_fault() -> str:
    """What keeps this Python from making a virtual environment; empty when nothing does."""
    try:
        import ensurepip  # noqa: F401 - only whether it is there
        import venv  # noqa: F401 - only whether it is there
    except ImportError:
        return "This Python has no venv module; on Debian and Ubuntu it is in the package python3-venv."
    return ""


def node_fault(answer: str) -> str:
    """What is wrong with a Node.js that gives this answer to `--version` (empty for none)."""
    if not answer:
        return "Node.js 20 or newer is needed (for Azurite, the storage emulator), and there is no `node` on the PATH."
    major = answer.strip().lstrip("v").split(".")[0]
    if not major.isdigit() or int(major) < LOWEST_NODE:
        return "Node.js 20 or newer is needed (for Azurite, the storage emulator), this is " + answer.strip() + "."
    return ""


def npm_fault(answer: str) -> str:
    """What is wrong with an npm that gives this answer to `--version` (empty for none)."""
    return "" if answer else "npm is needed to install Azurite, and there is no `npm` on the PATH."


def answer_of(program: str) -> str:
    """What a program says to `--version`; empty when it cannot be run."""
    try:
        output = subprocess.check_output([program, "--version"], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return output.decode("utf-8", "replace").strip()


def main() -> int:
    """Print every fault; 0 when there is none."""
    found = [
        python_fault(tuple(sys.version_info[:3])),
        venv_fault(),
        node_fault(answer_of("node")),
        npm_fault(answer_of("npm")),
    ]
    faults = [fault for fault in found if fault]
    for fault in faults:
        print("make: " + fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
