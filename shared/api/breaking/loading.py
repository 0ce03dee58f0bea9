"""YAML or JSON → an OpenAPI document, as strictly as OpenAPI asks: YAML 1.2 without types of its own, no key twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import yaml

from shared.api.breaking.documents import DEPTH_LIMIT, Document, DocumentError, Node


def read(text: bytes | str) -> Document:
    """A document from YAML or JSON.

    Raises:
        DocumentError: the text is neither, or no OpenAPI 3.0 or 3.1 document.
    """
    try:
        content = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return Document(json.loads(content, object_pairs_hook=_once) if _like_json(content) else _from_yaml(content))
    except UnicodeDecodeError as error:
        raise DocumentError("the document is not written in UTF-8") from error
    except json.JSONDecodeError as error:
        raise DocumentError(f"the document is no JSON: line {error.lineno}: {error.msg}") from error
    except yaml.YAMLError as error:
        raise DocumentError(f"the document is no YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise DocumentError("the document is nested too deep") from error
    except DocumentError:
        raise
    except ValueError as error:
        raise DocumentError(
            "the document has a value that cannot be read, such as a number of thousands of digits"
        ) from error


def _like_json(content: str) -> bool:
    return content.lstrip()[:1] == "{"


def _once(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        name = _key(key)
        if name in found:
            raise DocumentError(f"the key {name!r} is there twice in one mapping")
        found[name] = value
    return found


def _key(key: object) -> str:
    """Keys are texts in OpenAPI, also where YAML reads a number (a status) or a boolean (a property called true)."""
    if isinstance(key, bool) or key is None:
        return json.dumps(key)
    if isinstance(key, str | int | float):
        return str(key)
    raise DocumentError("a key of the document is neither a text nor a number")


def _from_yaml(content: str) -> Node:
    """Parsed YAML. Its nesting is measured on the events first: building nodes of it recurses in C, without a guard."""
    depth = 0
    for event in yaml.parse(content, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_LIMIT:
            raise DocumentError(f"the document is nested deeper than {DEPTH_LIMIT} levels")
    return yaml.load(content, Loader=_Loader)  # noqa: S506  it is a safe loader with fewer types


class _Loader(yaml.CSafeLoader):
    """YAML 1.2's core schema, which OpenAPI asks for: `no` and `2027-01-01` are texts, keys are texts."""

    # The base class's own attributes, begun anew. Any: it keeps functions of many kinds there.
    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  the base class declares what it is
    yaml_constructors: ClassVar[Any] = {}

    def construct_core_map(self, node: yaml.MappingNode) -> Iterator[dict[str, Any]]:
        """A mapping, empty at first so that an alias inside it can be told from a copy."""
        found: dict[str, Any] = {}
        yield found
        written = [key for key, _ in node.value]
        self.flatten_mapping(node)
        pairs = [(self.construct_object(key, deep=True), value, key in written) for key, value in node.value]
        _once([(key, None) for key, _, own in pairs if own])
        # What a merge key brings stands first, so that the mapping's own keys win.
        for key, value, _ in pairs:
            found[_key(key)] = self.construct_object(value, deep=True)

    def construct_core_scalar(self, node: yaml.ScalarNode) -> object:
        """A boolean, a number or nothing; a whole number is decimal even with leading zeros, or has 0o or 0x."""
        text = str(self.construct_scalar(node))
        kind = str(node.tag).rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _teach_core_schema() -> None:
    """Tell the loader which plain scalars are no texts; what has another tag than these is refused."""
    tag = "tag:yaml.org,2002:"
    number = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    for word, pattern, first in (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
        ("float", rf"{number}|[-+]?\.inf|\.nan", "-+.0123456789"),
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ):
        _Loader.add_implicit_resolver(tag + word, re.compile(f"(?:{pattern})$"), list(first))
        _Loader.add_constructor(tag + word, _Loader.construct_core_scalar)
    _Loader.add_implicit_resolver(tag + "merge", re.compile("<<$"), ["<"])
    _Loader.add_constructor(tag + "map", _Loader.construct_core_map)
    for known in (tag + "seq", tag + "str", None):
        _Loader.yaml_constructors[known] = yaml.CSafeLoader.yaml_constructors[known]


_teach_core_schema()
