"""Which files of the tree are deployed, and whether they can stand without the others."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pathspec

ROOTS = ("function_app.py", "host.json", "requirements.txt", "shared", "versions")
"""All that may be deployed. `.funcignore` takes away from it; a stray file in the tree adds nothing."""

_IGNORING = ".funcignore"


class PackageError(Exception):
    """No package was made; the text says why."""


def select(root: Path) -> tuple[str, ...]:
    """Paths of the files to deploy, sorted, relative to the root and with slashes.

    Raises:
        PackageError: the folder does not hold an app.
    """
    if missing := [each for each in (*ROOTS, _IGNORING) if not (root / each).exists()]:
        raise PackageError(f"{root} holds no {', '.join(missing)}")
    ignored = ignored_by(root)
    found = (path for each in ROOTS for path in _files(root / each))
    names = (path.relative_to(root).as_posix() for path in found)
    return tuple(sorted(name for name in names if not ignored.match_file(name)))


def ignored_by(root: Path) -> pathspec.PathSpec[pathspec.Pattern]:
    """What `.funcignore` says: `match_file` of a path is true for what is left out."""
    return pathspec.PathSpec.from_lines("gitignore", (root / _IGNORING).read_text(encoding="utf-8").splitlines())


def contents(root: Path) -> dict[str, bytes]:
    """The files to deploy.

    Raises:
        PackageError: the folder does not hold an app, or the app needs what is not deployed.
    """
    files = {name: (root / name).read_bytes() for name in select(root)}
    if faults := imported_but_left_out(files):
        raise PackageError("what is deployed needs what is not:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return files


def imported_but_left_out(files: Mapping[str, bytes]) -> list[str]:
    """Imports of modules of this repository that are not among the files, as `file:line: module`."""
    return [
        f"{name}:{line}: {module}"
        for name, content in sorted(files.items())
        if name.endswith(".py")
        for line, module in _ours(ast.parse(content, name), files)
        if not _is_there(module, files)
    ]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from (each for each in path.rglob("*") if each.is_file())


def _ours(tree: ast.Module, files: Mapping[str, bytes]) -> Iterator[tuple[int, str]]:
    """Each import of a module of this repository, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [_meant(node.module, alias.name, files) for alias in node.names]
        else:
            continue
        yield from ((node.lineno, module) for module in modules if module.split(".")[0] in ("shared", "tests"))


def _meant(module: str, name: str, files: Mapping[str, bytes]) -> str:
    """`from module import name`: a module of that package, unless the package itself says what the name is."""
    package = files.get(f"{module.replace('.', '/')}/__init__.py")
    return module if package is None or name in _bound(ast.parse(package)) else f"{module}.{name}"


def _bound(tree: ast.Module) -> set[str]:
    """Names that a module gives a meaning to."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    imports = (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    return names | {alias.asname or alias.name for node in imports for alias in node.names}


def _is_there(module: str, files: Mapping[str, bytes]) -> bool:
    path = module.replace(".", "/")
    return f"{path}.py" in files or f"{path}/__init__.py" in files
