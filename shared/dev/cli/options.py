"""What all commands of `dicom` take: which service, which version, who asks, how results are shown."""

from __future__ import annotations

import argparse
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from shared.dev.cli.screen import Ended, Exit, Screen

DEFAULT_URL = "http://localhost:7071"
_TRIES = 7
_VERSION = re.compile(r"v?([0-9][0-9A-Za-z.\-]*)", re.IGNORECASE)
_VERSION_AT_END = re.compile(r"/v[0-9][0-9A-Za-z.\-]*$", re.IGNORECASE)
_PARTITION = re.compile(r"[A-Za-z0-9_.\-]{1,64}")

Commands = argparse._SubParsersAction  # its only name; argparse gives the type no public one


@dataclass(frozen=True, slots=True)
class Target:
    """The service that is meant.

    Attributes:
        url: its address without a version, without a slash at the end.
        version: label as it is in addresses; empty for the newest stable one.
        token: bearer token; empty for none. Never shown.
        partition: data partition; empty for none.
        trust: whose certificates count; None for those of the machine.
        tries: how often a request is sent before giving up.
        is_base: whether studies are right below the address, as any DICOMweb server has them.
    """

    url: str
    version: str = ""
    token: str = ""
    partition: str = ""
    trust: ssl.SSLContext | None = None
    tries: int = _TRIES
    is_base: bool = False

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


@dataclass(frozen=True, slots=True)
class Session:
    """What a command works with.

    Attributes:
        environment: variables, for options that a command has by itself.
    """

    target: Target
    screen: Screen
    environment: Mapping[str, str]


Run = Callable[[argparse.Namespace, Session], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Command:
    """A command as its module describes it.

    Attributes:
        text: what it does, a sentence without its full stop.
        examples: command lines without `dicom`.
    """

    name: str
    text: str
    run: Run
    examples: tuple[str, ...]


def add_command(commands: Commands[argparse.ArgumentParser], command: Command) -> argparse.ArgumentParser:
    """A command's parser, with the options that all have; its own are added by its module."""
    parser = commands.add_parser(
        command.name,
        help=command.text[0].lower() + command.text[1:],
        description=command.text + ".",
        epilog="examples:\n" + "\n".join(f"  dicom {line}" for line in command.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common()],
    )
    parser.set_defaults(run=command.run)
    return parser


def common() -> argparse.ArgumentParser:
    """Options of all commands. They may stand before the command or behind it, so none has a default here."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("options of all commands")
    group.add_argument("--url", help=f"address of the service (DICOM_URL; default: {DEFAULT_URL})")
    group.add_argument("--api-version", metavar="LABEL", help="such as v2 (DICOM_API_VERSION; default: newest stable)")
    group.add_argument("--partition", metavar="NAME", help="data partition (DICOM_PARTITION; default: none)")
    group.add_argument("--token", help="bearer token; better DICOM_TOKEN, which others on this machine do not see")
    group.add_argument("--ca-file", metavar="FILE", help="PEM file of the authority that signed the certificate")
    group.add_argument("--tries", type=_positive, metavar="N", help=f"how often a request is sent (default: {_TRIES})")
    group.add_argument("--json", action="store_true", help="JSON on standard output and nothing else there")
    group.add_argument("-q", "--quiet", action="store_true", help="only errors; the exit code says the rest")
    group.add_argument("-v", "--verbose", action="store_true", help="more, such as names of files that were skipped")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("is at least 1")
    return number


def session(options: argparse.Namespace, environment: Mapping[str, str]) -> Session:
    """What the command line and the environment say; the command line wins.

    Raises:
        Ended: something of it cannot be.
    """

    def said(name: str) -> str:
        return str(getattr(options, name, "") or environment.get(f"DICOM_{name.upper()}", "")).strip()

    target = Target(
        url=_url(said("url") or DEFAULT_URL),
        version=_version(said("api_version")),
        token=said("token"),
        partition=partition_name(said("partition"), "--partition"),
        trust=_trust(getattr(options, "ca_file", "")),
        tries=getattr(options, "tries", _TRIES),
    )
    check_token(target, "--url")
    flags = {name: bool(getattr(options, name, False)) for name in ("json", "quiet", "verbose")}
    return Session(target, Screen(**flags), environment)


def check_token(target: Target, option: str) -> None:
    """Raise when the token would go over the net for all to see."""
    if target.token and not target.url.startswith("https:") and not target.is_local:
        raise Ended(
            f"A token is not sent to another machine without TLS; give an https address as {option}.", Exit.USAGE
        )


def _url(text: str) -> str:
    bare = address(text, "--url")
    ending = _VERSION_AT_END.search(bare)
    if ending:
        raise Ended(f"--url goes without the version; give --api-version {ending.group()[1:]}.", Exit.USAGE)
    return bare


def address(text: str, option: str) -> str:
    """An address of a service, without a slash at its end.

    Raises:
        Ended: it is none, or has what does not belong into it.
    """
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if not whole:
        raise Ended(f"{option} is an address such as https://dicom.example.org or http://localhost:7071.", Exit.USAGE)
    if parts.username is not None or parts.query or parts.fragment:
        raise Ended(f"{option} has neither user, query nor fragment; a token says who asks.", Exit.USAGE)
    return text.rstrip("/")


def _version(text: str) -> str:
    if not text:
        return ""
    found = _VERSION.fullmatch(text)
    if not found:
        raise Ended("--api-version is a label such as v2; `dicom versions` lists them.", Exit.USAGE)
    return f"v{found.group(1)}"


def partition_name(text: str, option: str) -> str:
    """A name of a data partition; empty for none."""
    if text and (not _PARTITION.fullmatch(text) or text in (".", "..")):
        raise Ended(f"{option} is 1 to 64 letters, digits, dots, hyphens and underscores.", Exit.USAGE)
    return text


def _trust(file: str) -> ssl.SSLContext | None:
    if not file:
        return None
    try:
        return ssl.create_default_context(cafile=Path(file))
    except (OSError, ssl.SSLError) as error:
        raise Ended(f"--ca-file {file} cannot be used: {error.strerror or error}", Exit.USAGE) from error
