"""Whether every name in Bicep files stands for something: symbols, functions, parameters and outputs of modules.

What the compiler would say first; types of expressions are left to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tree_sitter import Node

from shared.dev.infra.source import (
    Declaration,
    Finding,
    Source,
    children,
    everywhere,
    is_literal,
    text_of,
)

# Bicep's own functions, as far as the files use them: one that is new here is looked up in its documentation first.
FUNCTIONS = frozenset(
    [
        "allowed",
        "cidrSubnet",
        "concat",
        "contains",
        "description",
        "empty",
        "environment",
        "first",
        "flatten",
        "guid",
        "join",
        "last",
        "length",
        "loadTextContent",
        "map",
        "maxLength",
        "maxValue",
        "metadata",
        "minLength",
        "minValue",
        "readEnvironmentVariable",
        "replace",
        "resourceGroup",
        "secure",
        "split",
        "string",
        "subscription",
        "subscriptionResourceId",
        "take",
        "toLower",
        "union",
        "uniqueString",
    ]
)
_KINDS = {"string": "string", "number": "int", "boolean": "bool", "array": "array", "object": "object"}


def name_findings(sources: Mapping[Path, Source]) -> Iterator[Finding]:
    """Every name that stands for nothing, and every declaration that nobody names."""
    for source in sources.values():
        known = frozenset(source.declarations)
        used: set[str] = set()
        yield from _unknown(source, source.root, known, used)
        if source.path.suffix == ".bicepparam":
            yield from _parameter_file(source, sources)
            continue
        for each in source.declarations.values():
            if each.kind in ("param", "var", "type", "func") and each.name not in used:
                yield source.finding(each.node, f"nobody uses {each.kind} {each.name}")
        for module in source.of_kind("module"):
            yield from _module(source, module, sources)
        yield from _outputs(source, sources)


def _unknown(source: Source, node: Node, known: frozenset[str], used: set[str]) -> Iterator[Finding]:
    """Names below a node that are not known there; those that are known are noted as used."""
    known |= _made_here(node)
    for child in _expressions(node):
        if child.type != "identifier":
            yield from _unknown(source, child, known, used)
            continue
        name = text_of(child)
        called = node.type == "call_expression" and child == node.named_children[0]
        # Within an array the grammar takes a call for a name and something in brackets behind it.
        behind = child.next_named_sibling
        called |= (
            behind is not None and behind.type == "parenthesized_expression" and behind.start_byte == child.end_byte
        )
        if name in known:
            used.add(name)
        elif not (called and name in FUNCTIONS):
            yield source.finding(child, f"{name} stands for nothing")


def _expressions(node: Node) -> list[Node]:
    """The parts of a node that are expressions or have some, and no names of their own."""
    parts = [
        child for child in node.named_children if child.type not in ("comment", "loop_variable", "loop_enumerator")
    ]
    names_first = node.type.endswith("_declaration") or node.type in (
        "user_defined_function",
        "object_property",
        "parameter",
        "for_statement",
        "lambda_expression",
    )
    if names_first and parts and parts[0].type == "identifier":
        return parts[1:]
    return parts


def _made_here(node: Node) -> frozenset[str]:
    """Names of loop variables and parameters that are known below a node.

    The grammar takes what follows a lambda's arrow for a part of something larger, so the names of one that begins a
    node are known in all of it.
    """
    made: set[str] = set()
    first: Node | None = node
    while first is not None:
        parts = children(first)
        if first.type == "lambda_expression" and parts:
            made.update(text_of(each) for each in everywhere(parts[0]) if each.type == "identifier")
        first = parts[0] if parts else None
    if node.type == "for_statement":
        head = children(node)[0]
        made.update([text_of(head)] if head.type == "identifier" else [text_of(each) for each in head.named_children])
    if node.type == "user_defined_function":
        parameters = next((each for each in children(node) if each.type == "parameters"), None)
        made.update(text_of(children(each)[0]) for each in (children(parameters) if parameters else []))
    return frozenset(made)


def _module(source: Source, module: Declaration, sources: Mapping[Path, Source]) -> Iterator[Finding]:
    target = sources.get((source.path.parent / module.reference).resolve())
    if target is None:
        yield source.finding(module.node, f"there is no {module.reference}")
        return
    body = module.value
    if body is None:
        return
    given = {
        item.path.removeprefix("params."): item.node
        for item in source.items(body)
        if item.path.startswith("params.") and item.path.count(".") == 1
    }
    yield from _given(source, module.node, given, target)


def _given(source: Source, at: Node, given: Mapping[str, Node], target: Source) -> Iterator[Finding]:
    """What is wrong with the parameters that a file is given."""
    wanted = {each.name: each for each in target.of_kind("param")}
    for name in sorted(wanted.keys() - given.keys()):
        if wanted[name].value is None and not _may_be_left_out(wanted[name]):
            yield source.finding(at, f"{target.file} is not given {name}")
    for name, value in given.items():
        if name not in wanted:
            yield source.finding(value, f"{target.file} has no parameter {name}")
        else:
            yield from _fits(source, value, wanted[name])


def _may_be_left_out(parameter: Declaration) -> bool:
    return bool(parameter.parts) and any(each.type == "nullable_type" for each in everywhere(parameter.parts[0]))


def _fits(source: Source, value: Node, parameter: Declaration) -> Iterator[Finding]:
    """A literal is of the parameter's type and among its allowed values."""
    wanted = children(parameter.parts[0])[0] if parameter.parts else None
    kind = _KINDS.get(value.type)
    if wanted is not None and wanted.type == "primitive_type" and kind and kind != text_of(wanted):
        yield source.finding(value, f"{parameter.name} is {text_of(wanted)}, not {kind}")
    allowed = list(_allowed(parameter.decorators))
    if allowed and is_literal(value) and text_of(value) not in allowed:
        yield source.finding(value, f"{parameter.name} is one of {', '.join(allowed)}")


def _allowed(decorators: Node | None) -> Iterable[str]:
    for call in everywhere(decorators) if decorators else ():
        if call.type == "call_expression" and text_of(call.named_children[0]) == "allowed":
            yield from (
                text_of(each) for each in everywhere(call.named_children[1]) if each.type in ("string", "number")
            )


def _outputs(source: Source, sources: Mapping[Path, Source]) -> Iterator[Finding]:
    """Every `module.outputs.name`, also behind an index, is an output of the module."""
    for node in everywhere(source.root):
        inner = node.named_children[0] if node.type == "member_expression" else None
        if inner is None or inner.type != "member_expression" or text_of(inner.named_children[-1]) != "outputs":
            continue
        base = inner.named_children[0]
        named = base.named_children[0] if base.type == "subscript_expression" else base
        module = source.declarations.get(text_of(named))
        if module is None or module.kind != "module":
            continue
        target = sources.get((source.path.parent / module.reference).resolve())
        name = text_of(node.named_children[-1])
        if target is not None and name not in target.outputs:
            yield source.finding(node, f"{target.file} has no output {name}")


def _parameter_file(source: Source, sources: Mapping[Path, Source]) -> Iterator[Finding]:
    """A parameter file names a template that is there, and gives it what it needs."""
    using = next((each for each in source.root.named_children if each.type == "using_statement"), None)
    named = text_of(children(using)[0]) if using is not None else ""
    target = sources.get((source.path.parent / named).resolve())
    if target is None:
        yield source.finding(using or source.root, f"there is no {named or 'template'} to be used")
        return
    given = {each.name: each.value for each in source.of_kind("var") if each.value is not None}
    yield from _given(source, using or source.root, given, target)
