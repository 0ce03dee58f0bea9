"""The `dicom` command, `python -m shared.dev.cli`: the service from the command line.

It speaks HTTP only, `import` excepted, which puts files into storage; so it works with any deployment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence

from shared.dev.cli import copy, export, get, imports, operations, search, store, tags, versions
from shared.dev.cli.options import Session, common, session
from shared.dev.cli.screen import Ended, Exit, Screen
from shared.dev.host import settings

_CODES = """exit codes:
  0  all is well
  1  something was refused, or work has failed
  2  the command line is wrong
  3  the service is not reachable, or stays busy
  4  the service wants a token, or takes no request of this one
  5  the work has not ended within --timeout
  130  interrupted

`dicom COMMAND --help` has the options and examples of a command.
"""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    made = argparse.ArgumentParser(
        prog="dicom",
        description="Store, copy, search, get, export and update DICOM instances through a DICOMweb service.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common()],
    )
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    modules = (store, imports, copy, search, get, export, operations, tags, versions)
    for module in modules:
        module.add(commands)
    return made


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Do what the command line says, and give back the exit code.

    Raises:
        SystemExit: by argparse, when the command line is wrong or asks for help.
    """
    options = parser().parse_args(arguments)
    try:
        return _run(options, session(options, settings.environment() if environment is None else environment))
    except Ended as error:
        # Before there is a session; nothing was asked of the service.
        Screen().error(f"dicom: {error}")
        return error.code


def _run(options: argparse.Namespace, opened: Session) -> int:
    try:
        return int(asyncio.run(options.run(options, opened)))
    except Ended as error:
        opened.screen.error(f"dicom: {error}")
        opened.screen.give({"error": str(error), "exitCode": int(error.code)})
        return error.code
    except KeyboardInterrupt:
        opened.screen.error("dicom: interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has seen enough, as with `| head`. What is still in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.WELL


if __name__ == "__main__":
    raise SystemExit(main())
