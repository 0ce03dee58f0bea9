"""A function app as the local host sees it: imported, indexed, checked.

What Azure would refuse, or drop with a line in a log, is refused here, all of it at once.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.dev.host import cron, hostjson, routes, signatures

_FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
_QUEUE_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
_SETTING_REFERENCE = re.compile(r"%([^%]+)%")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class HostRefusal(Exception):
    """The app would not run, or not as written, on Azure; the text lists every fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("this app would not run on Azure as it is:\n" + "\n".join(f"  - {fault}" for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """Methods (empty for all) and the whole route template, prefix included."""

    methods: frozenset[str]
    template: routes.Template


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """The queue and the connection string it is reached with."""

    queue: str
    connection: str


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """When a function runs, and whether it also runs at start."""

    schedule: cron.Schedule
    text: str
    run_on_startup: bool


Trigger = HttpTrigger | QueueTrigger | TimerTrigger
# binding, function name, host.json, settings
_Reader = Callable[[Mapping[str, Any], str, hostjson.HostOptions, Mapping[str, str]], Trigger]


@dataclass(frozen=True, slots=True)
class HostedFunction:
    """One function that can be run.

    Attributes:
        name: unique ignoring case.
        trigger: what runs it.
        handler: how to call it.
    """

    name: str
    trigger: Trigger
    handler: signatures.Handler


@dataclass(frozen=True, slots=True)
class HostedApp:
    """All functions of an app, sorted as the host sorts them: by upper-cased name."""

    folder: Path
    options: hostjson.HostOptions
    functions: tuple[HostedFunction, ...]


def load(folder: Path, environment: Mapping[str, str]) -> HostedApp:
    """Import and index the app of a folder. Once per process: the app's `get_functions()` can be called once only.

    Args:
        folder: holds function_app.py and host.json.
        environment: settings, already in force.

    Raises:
        HostRefusal: with everything that is wrong.
    """
    folder = folder.resolve()
    faults: list[str] = []
    options = hostjson.HostOptions()
    try:
        options = hostjson.read(folder)
    except hostjson.HostJsonError as error:
        faults.append(str(error))
    if sys.version_info < (3, 13) and environment.get("PYTHON_ENABLE_INIT_INDEXING") != "1":
        faults.append("PYTHON_ENABLE_INIT_INDEXING must be 1: before Python 3.13 HTTP streams hang without it")
    functions = [
        function
        for raw in _index(folder, faults)
        if (function := _function(raw, options, environment, faults)) is not None
    ]
    _check_names([function.name for function in functions], faults)
    _check_routes(functions, faults)
    faults.extend(_hidden_modules(folder))
    if faults:
        raise HostRefusal(faults)
    return HostedApp(folder, options, tuple(sorted(functions, key=lambda function: function.name.upper())))


def _index(folder: Path, faults: list[str]) -> list[Any]:
    """The vendor's own function objects, or none when the app cannot be imported."""
    if not (folder / "function_app.py").is_file():
        faults.append(f"{folder} holds no function_app.py")
        return []
    # The worker has installed packages first and the app last; python -m has put the working folder first.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() not in (folder, Path.cwd())] + [str(folder)]
    try:
        module = importlib.import_module("function_app")
        from azure.functions import FunctionRegister

        apps = {id(value): value for value in vars(module).values() if isinstance(value, FunctionRegister)}
        if len(apps) != 1:
            faults.append(f"function_app.py must hold exactly one FunctionApp at top level, not {len(apps)}")
            return []
        return list(apps.popitem()[1].get_functions())
    except Exception as error:  # noqa: BLE001 - whatever the app raises at import is a fault to report, with its place
        place = "".join(traceback.format_exception(error)[-3:]).strip().replace("\n", "\n      ")
        faults.append(f"function_app.py cannot be imported and indexed:\n      {place}")
        return []


def _function(
    raw: Any, options: hostjson.HostOptions, environment: Mapping[str, str], faults: list[str]
) -> HostedFunction | None:
    name = str(raw.get_function_name())
    if environment.get(f"AzureWebJobs.{name}.Disabled", "").lower() in ("true", "1"):
        return None
    bindings: list[dict[str, Any]] = [json.loads(text) for text in raw.get_raw_bindings()]
    triggers = [binding for binding in bindings if str(binding["type"]).lower().endswith("trigger")]
    others = {str(binding["type"]) for binding in bindings if binding not in triggers and binding["name"] != "$return"}
    if others:
        faults.append(f"{name}: the local host has no bindings of type {', '.join(sorted(others))}")
    reader = _READERS.get(str(triggers[0]["type"])) if len(triggers) == 1 else None
    if reader is None:
        faults.append(f"{name}: needs one trigger of {', '.join(_READERS)}")
        return None
    try:
        trigger = reader(triggers[0], name, options, environment)
        handler = signatures.read(raw.get_user_function(), str(triggers[0]["name"]), str(triggers[0]["type"]))
    except (routes.TemplateError, cron.ScheduleError, signatures.SignatureError, BindingError) as error:
        faults.append(f"{name}: {error}")
        return None
    return HostedFunction(name, trigger, handler)


class BindingError(ValueError):
    """A binding that the host would refuse; the text says why."""


def _http(
    binding: Mapping[str, Any], name: str, options: hostjson.HostOptions, _environment: Mapping[str, str]
) -> HttpTrigger:
    route = binding.get("route") or name
    if re.match(r"/?(admin|runtime)", route, re.IGNORECASE) and not options.route_prefix:
        raise BindingError(f"route {route!r} begins with a word the host keeps for itself (admin, runtime)")
    methods = frozenset(str(method).upper() for method in binding.get("methods") or ())
    if unknown := methods - set(METHODS):
        raise BindingError(f"methods {', '.join(sorted(unknown))} cannot be served")
    return HttpTrigger(methods, routes.parse("/".join(filter(None, (options.route_prefix, route.strip("/"))))))


def _queue(
    binding: Mapping[str, Any], _name: str, options: hostjson.HostOptions, environment: Mapping[str, str]
) -> QueueTrigger:
    _need_bundle(options)
    queue = _resolved(str(binding.get("queueName")), environment)
    if not _QUEUE_NAME.fullmatch(queue):
        raise BindingError(f"{queue!r} is not a queue name (3 to 63 lower-case letters, digits, single hyphens)")
    setting = binding.get("connection") or "AzureWebJobsStorage"
    connection = environment.get(setting) or environment.get(f"AzureWebJobs{setting}")
    if not connection:
        raise BindingError(f"setting {setting} must hold the connection string of its queue")
    return QueueTrigger(queue, connection)


def _timer(
    binding: Mapping[str, Any], _name: str, options: hostjson.HostOptions, environment: Mapping[str, str]
) -> TimerTrigger:
    _need_bundle(options)
    text = _resolved(str(binding.get("schedule")), environment)
    return TimerTrigger(cron.parse(text), text, binding.get("runOnStartup") is True)


_READERS: Mapping[str, _Reader] = {"httpTrigger": _http, "queueTrigger": _queue, "timerTrigger": _timer}


def _need_bundle(options: hostjson.HostOptions) -> None:
    if not options.has_bundle:
        raise BindingError("queue and timer triggers need an extensionBundle in host.json")


def _resolved(text: str, environment: Mapping[str, str]) -> str:
    """`%NAME%` stands for a setting."""
    missing = [name for name in _SETTING_REFERENCE.findall(text) if name not in environment]
    if missing:
        raise BindingError(f"setting {missing[0]} is not set")
    return _SETTING_REFERENCE.sub(lambda found: environment[found.group(1)], text)


def _check_names(names: Sequence[str], faults: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if not _FUNCTION_NAME.fullmatch(name) or name.lower() == "host":
            faults.append(
                f"{name}: not a function name (a letter, then letters, digits, _ and -, 128 at most, not host)"
            )
        if name.upper() in seen:
            faults.append(f"{name}: differs from {seen[name.upper()]} in case only, or not at all")
        seen[name.upper()] = name


def _check_routes(functions: Sequence[HostedFunction], faults: list[str]) -> None:
    """The host does not load a function whose route and one of whose methods another function has taken."""
    taken: dict[tuple[str, str], str] = {}
    for function in sorted(functions, key=lambda each: each.name.upper()):
        if not isinstance(function.trigger, HttpTrigger):
            continue
        clashes = set()
        for method in function.trigger.methods or METHODS:
            key = (function.trigger.template.text.upper(), method)
            clashes.add(taken.setdefault(key, function.name))
        for other in sorted(clashes - {function.name}):
            faults.append(f"{function.name}: has the route of {other} and shares a method with it")


def _hidden_modules(folder: Path) -> list[str]:
    """Modules of the app that Azure would not find: there, an installed package of the same name comes first."""
    faults = []
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if "." in name or not file or Path(file).resolve().parent not in (folder, folder / name):
            continue
        spec = importlib.machinery.PathFinder.find_spec(name, [entry for entry in sys.path if entry != str(folder)])
        if spec is not None and spec.origin and not Path(spec.origin).resolve().is_relative_to(folder):
            faults.append(f"{name}: hidden on Azure by the installed package at {spec.origin}")
    return faults
