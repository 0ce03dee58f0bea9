"""Changes to our own documents, each breaking or not by how it is made.

A kind says where in a document it applies and what it does there to a copy. Places are found by what they are, never by
name, so the kinds go on working when operations are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Node = dict[str, Any]
Steps = tuple[str | int, ...]
Finder = Callable[[Node], Iterator[Steps]]

KINDS: list[Kind] = []


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to change a document.

    Attributes:
        name: of the change.
        breaking: whether it breaks a client.
        places: where it applies.
        change: what it does to the node at a place of a copy; it gets the copy and the steps.
        silent: whether nothing at all may be found.
    """

    name: str
    breaking: bool
    places: Finder
    change: Callable[[Node, Steps], None]
    silent: bool = False

    @property
    def needs_twin(self) -> bool:
        """Whether it is about the JSON body that documents are given for it."""
        return self.places is twins

    def applied(self, document: Node, shares: Sequence[float]) -> list[Steps]:
        """The places where it is tried, each by how far it is through all there are: 0 is the first, 1 the last."""
        found = list(self.places(document))
        chosen = [found[round(share * (len(found) - 1))] for share in shares] if found else []
        return list(dict.fromkeys(chosen))


def at(document: Node, steps: Steps) -> Any:
    """The node at a place."""
    node: Any = document
    for step in steps:
        node = node[step]
    return node


def breaks(places: Finder):
    """Enter a change that breaks a client at some places."""
    return _enter(places, breaking=True, silent=False)


def allowed(places: Finder, *, silent: bool = False):
    """Enter a change that breaks nobody; a silent one is none at all."""
    return _enter(places, breaking=False, silent=silent)


def _enter(places, *, breaking, silent):
    def enter(change):
        KINDS.append(Kind(change.__name__.replace("_", " "), breaking, places, change, silent))
        return change

    return enter


# Where changes apply.


def whole(_document):
    yield ()


def paths(document):
    for path in document["paths"]:
        yield ("paths", path)


def operations(document):
    for path, item in document["paths"].items():
        for method in item:
            yield ("paths", path, method)


def reads(document):
    return (steps for steps in operations(document) if steps[-1] == "get")


def statuses(wanted):
    def find(document):
        for steps in operations(document):
            for status in at(document, steps)["responses"]:
                if status[0] in wanted:
                    yield (*steps, "responses", status)

    return find


def crowded_statuses(document):
    """Success statuses of operations that have more than one."""
    for steps in operations(document):
        found = [status for status in at(document, steps)["responses"] if status[0] in "23"]
        if len(found) > 1:
            yield (*steps, "responses", found[0])


def own_responses(document):
    """Responses that are written at their operation, not referred to."""
    return (steps for steps in statuses("23")(document) if "$ref" not in at(document, steps))


def contents(document):
    """Representations of answers."""
    for steps in own_responses(document):
        for media_type in at(document, steps).get("content", {}):
            yield (*steps, "content", media_type)


def answer_headers(document):
    for steps in own_responses(document):
        for name in at(document, steps).get("headers", {}):
            yield (*steps, "headers", name)


def bodies(document):
    return ((*steps, "requestBody") for steps in operations(document) if "requestBody" in at(document, steps))


def crowded_bodies(document):
    return (steps for steps in bodies(document) if len(at(document, steps)["content"]) > 1)


def parameters(fits=lambda parameter: True):
    def find(document):
        for steps in operations(document):
            for index, parameter in enumerate(at(document, steps).get("parameters", ())):
                if parameter["in"] != "path" and fits(parameter):
                    yield (*steps, "parameters", index)

    return find


def with_schema(*keywords, type_=None):
    """Parameters whose schema has keywords, and a type."""
    return parameters(
        lambda parameter: (
            all(word in parameter["schema"] for word in keywords)
            and (type_ is None or parameter["schema"].get("type") == type_)
        )
    )


def path_parameters(document):
    for steps in operations(document):
        for index, parameter in enumerate(at(document, steps).get("parameters", ())):
            if parameter["in"] == "path":
                yield (*steps, "parameters", index)


def answered_schemas(document):
    """Component schemas that answers reach and requests do not: what is allowed here may break there."""
    answers = [at(document, steps) for steps in (*contents(document), *problem_contents(document))]
    requests = [at(document, steps) for steps in (*bodies(document), *parameters()(document))]
    return sorted(_reached(document, answers) - _reached(document, requests))


def _reached(document, todo):
    seen: set[str] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            name = node.get("$ref", "").rpartition("/")[2] if isinstance(node.get("$ref"), str) else ""
            if name in document["components"]["schemas"] and name not in seen:
                seen.add(name)
                todo.append(document["components"]["schemas"][name])
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)
    return seen


def problem_contents(document):
    for name, response in document["components"].get("responses", {}).items():
        for media_type in response.get("content", {}):
            yield ("components", "responses", name, "content", media_type)


def properties(fits=lambda schema, name: True):
    """Properties of component schemas that answers reach; the test gets the object's schema and the name."""

    def find(document):
        for name in answered_schemas(document):
            schema = document["components"]["schemas"][name]
            for key in schema.get("properties", {}):
                if fits(schema, key):
                    yield ("components", "schemas", name, "properties", key)

    return find


def required(schema, name):
    return name in schema.get("required", ())


def optional(schema, name):
    return name not in schema.get("required", ())


def property_with(keyword):
    return properties(lambda schema, name: keyword in schema["properties"][name])


def objects(document):
    for name in answered_schemas(document):
        if "properties" in document["components"]["schemas"][name]:
            yield ("components", "schemas", name)


def lists(document):
    for name in answered_schemas(document):
        if document["components"]["schemas"][name].get("type") == "array":
            yield ("components", "schemas", name)


def maps(document):
    """Objects whose unnamed properties have a schema."""
    for name in answered_schemas(document):
        if isinstance(document["components"]["schemas"][name].get("additionalProperties"), dict):
            yield ("components", "schemas", name)


def twins(document):
    """The JSON body that `twin` gives to the first operation with a body."""
    for steps in bodies(document):
        if TWIN in at(document, steps)["content"]:
            yield (*steps, "content", TWIN, "schema")


TWIN = "application/x-twin+json"


def twin(document):
    """The document with a JSON request body: what an object of an answer looks like, sent instead of received."""
    source = max(objects(document), key=lambda steps: (len(at(document, steps)["properties"]), steps))
    body = at(document, next(bodies(document)))
    schema = at(document, source)
    body["content"][TWIN] = {
        "schema": {
            "type": "object",
            "required": sorted(schema.get("required", ()))[:2],
            "properties": {
                **schema["properties"],
                "word": {"type": "string", "enum": ["one", "two"]},
                "note": {"type": "string", "maxLength": 64},
            },
            "additionalProperties": False,
        }
    }
    return document


def parent(document, steps):
    return at(document, steps[:-1])


# What breaks.


@breaks(paths)
def remove_a_path(document, steps):
    del parent(document, steps)[steps[-1]]


@breaks(paths)
def rename_a_path(document, steps):
    parent(document, steps)[f"{steps[-1]}-new"] = parent(document, steps).pop(steps[-1])


@breaks(operations)
def remove_an_operation(document, steps):
    del parent(document, steps)[steps[-1]]


@breaks(operations)
def use_another_method(document, steps):
    parent(document, steps)["patch"] = parent(document, steps).pop(steps[-1])


@breaks(operations)
def rename_an_operation_id(document, steps):
    at(document, steps)["operationId"] += "New"


@breaks(operations)
def ask_for_a_key(document, steps):
    document["components"]["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}
    at(document, steps)["security"] = [{"key": []}]


@breaks(statuses("2"))
def remove_a_success_status(document, steps):
    del parent(document, steps)[steps[-1]]


@breaks(statuses("45"))
def remove_an_error_status(document, steps):
    del parent(document, steps)[steps[-1]]


@breaks(statuses("2"))
def answer_with_another_status(document, steps):
    parent(document, steps)["299"] = parent(document, steps).pop(steps[-1])


@breaks(contents)
def remove_a_representation(document, steps):
    del parent(document, steps)[steps[-1]]


@breaks(contents)
def generalise_a_representation(document, steps):
    parent(document, steps)["*/*"] = parent(document, steps).pop(steps[-1])


@breaks(contents)
def take_the_schema_from_an_answer(document, steps):
    del at(document, steps)["schema"]


@breaks(contents)
def answer_with_an_array_of_it(document, steps):
    at(document, steps)["schema"] = {
        "type": "array",
        "items": {"type": "array", "items": at(document, steps)["schema"]},
    }


@breaks(contents)
def answer_with_null_at_times(document, steps):
    at(document, steps)["schema"] = {"nullable": True, "allOf": [at(document, steps)["schema"]]}


@breaks(contents)
def answer_with_a_number_at_times(document, steps):
    at(document, steps)["schema"] = {"oneOf": [at(document, steps)["schema"], {"type": "integer"}]}


@breaks(answer_headers)
def remove_a_header(document, steps):
    del parent(document, steps)[steps[-1]]


@breaks(answer_headers)
def rename_a_header(document, steps):
    parent(document, steps)[f"{steps[-1]}-New"] = parent(document, steps).pop(steps[-1])


@breaks(answer_headers)
def retype_a_header(document, steps):
    parent(document, steps)[steps[-1]] = {"schema": {"type": "array", "items": {"type": "boolean"}}}


@breaks(parameters())
def remove_a_parameter(document, steps):
    del parent(document, steps)[steps[-1]]


@breaks(parameters())
def rename_a_parameter(document, steps):
    at(document, steps)["name"] += "New"


@breaks(parameters())
def move_a_parameter(document, steps):
    parameter = at(document, steps)
    parameter["in"] = "cookie"


@breaks(parameters())
def require_a_parameter(document, steps):
    at(document, steps)["required"] = True


@breaks(operations)
def add_a_required_parameter(document, steps):
    new = {"name": "new", "in": "query", "required": True, "schema": {"type": "string", "default": "a"}}
    at(document, steps).setdefault("parameters", []).append(new)


@breaks(operations)
def add_a_required_header(document, steps):
    new = {"name": "X-New", "in": "header", "required": True, "schema": {"type": "string"}}
    at(document, steps).setdefault("parameters", []).append(new)


@breaks(with_schema("maximum"))
def lower_a_maximum(document, steps):
    at(document, steps)["schema"]["maximum"] -= 1


@breaks(with_schema("minimum"))
def raise_a_minimum(document, steps):
    at(document, steps)["schema"]["minimum"] += 1


@breaks(with_schema("maximum"))
def exclude_a_maximum(document, steps):
    at(document, steps)["schema"]["exclusiveMaximum"] = True


@breaks(with_schema(type_="string"))
def limit_a_length(document, steps):
    at(document, steps)["schema"]["maxLength"] = 3


@breaks(with_schema(type_="string"))
def set_a_pattern(document, steps):
    at(document, steps)["schema"]["pattern"] = "^[a-z]+$"


@breaks(with_schema(type_="string"))
def list_the_values(document, steps):
    at(document, steps)["schema"]["enum"] = ["a", "b"]


@breaks(with_schema(type_="string"))
def forbid_a_value(document, steps):
    at(document, steps)["schema"]["not"] = {"enum": ["a"]}


@breaks(with_schema(type_="integer"))
def take_multiples_only(document, steps):
    at(document, steps)["schema"]["multipleOf"] = 5


@breaks(parameters())
def retype_a_parameter(document, steps):
    at(document, steps)["schema"] = {"type": "array", "items": {"type": "boolean"}}


@breaks(with_schema("default", type_="integer"))
def change_a_default(document, steps):
    at(document, steps)["schema"]["default"] += 1


@breaks(with_schema("default"))
def remove_a_default(document, steps):
    del at(document, steps)["schema"]["default"]


@breaks(parameters(lambda parameter: "default" not in parameter["schema"]))
def add_a_default(document, steps):
    at(document, steps)["schema"]["default"] = "a"


@breaks(parameters(lambda parameter: parameter["in"] == "query"))
def write_a_parameter_in_another_way(document, steps):
    at(document, steps)["explode"] = not at(document, steps).get("explode", True)


@breaks(path_parameters)
def tighten_a_path_parameter(document, steps):
    schema = at(document, steps)["schema"]
    schema[{"string": "maxLength", "integer": "maximum", "array": "maxItems"}[schema["type"]]] = 3


@breaks(reads)
def require_a_body(document, steps):
    at(document, steps)["requestBody"] = {"required": True, "content": {"application/json": {}}}


@breaks(bodies)
def remove_a_body(document, steps):
    del parent(document, steps)[steps[-1]]


@breaks(crowded_bodies)
def refuse_a_media_type(document, steps):
    content = at(document, steps)["content"]
    del content[sorted(content)[0]]


@breaks(whole)
def change_a_behaviour(document, _steps):
    behaviours = document["info"]["x-behaviours"]
    behaviours[sorted(behaviours)[0]] = "another"


@breaks(whole)
def forget_a_behaviour(document, _steps):
    behaviours = document["info"]["x-behaviours"]
    del behaviours[sorted(behaviours)[-1]]


@breaks(whole)
def lower_the_stability(document, _steps):
    document["info"]["x-stability-level"] = "alpha"


@breaks(properties())
def remove_a_property(document, steps):
    _drop(at(document, steps[:-2]), steps[-1])


@breaks(properties())
def rename_a_property(document, steps):
    schema = at(document, steps[:-2])
    schema["properties"][f"{steps[-1]}New"] = at(document, steps)
    if required(schema, steps[-1]):
        schema["required"].append(f"{steps[-1]}New")
    _drop(schema, steps[-1])


@breaks(properties())
def retype_a_property(document, steps):
    parent(document, steps)[steps[-1]] = {"type": "boolean"}


@breaks(properties())
def make_a_property_nullable(document, steps):
    parent(document, steps)[steps[-1]] = {"nullable": True, "allOf": [at(document, steps)]}


@breaks(properties(required))
def make_a_property_optional(document, steps):
    at(document, steps[:-2])["required"].remove(steps[-1])


@breaks(property_with("enum"))
def answer_with_a_new_value(document, steps):
    at(document, steps)["enum"].append("New")


@breaks(property_with("enum"))
def answer_with_any_value(document, steps):
    del at(document, steps)["enum"]


@breaks(property_with("format"))
def answer_in_another_format(document, steps):
    at(document, steps)["format"] = "another"


@breaks(property_with("minimum"))
def answer_with_less(document, steps):
    at(document, steps)["minimum"] -= 1


@breaks(property_with("maxLength"))
def answer_with_longer_texts(document, steps):
    at(document, steps)["maxLength"] += 1


@breaks(property_with("minLength"))
def answer_with_texts_of_any_length(document, steps):
    del at(document, steps)["minLength"]


@breaks(lists)
def retype_items(document, steps):
    at(document, steps)["items"] = {"type": "integer"}


@breaks(maps)
def answer_with_anything_under_other_names(document, steps):
    at(document, steps)["additionalProperties"] = True


@breaks(twins)
def require_a_new_property(document, steps):
    at(document, steps)["properties"]["new"] = {"type": "string", "default": "a"}
    at(document, steps)["required"] = [*at(document, steps).get("required", ()), "new"]


@breaks(twins)
def require_a_property(document, steps):
    at(document, steps)["required"] = [*at(document, steps).get("required", ()), "note"]


@breaks(twins)
def refuse_a_property(document, steps):
    _drop(at(document, steps), "note")


@breaks(twins)
def refuse_a_value(document, steps):
    at(document, steps)["properties"]["word"]["enum"].remove("two")


@breaks(twins)
def refuse_long_texts(document, steps):
    at(document, steps)["properties"]["note"]["maxLength"] -= 1


@breaks(twins)
def refuse_what_is_not_something_else_too(document, steps):
    at(document, steps)["allOf"] = [{"required": ["note"]}]


# What breaks nobody.


@allowed(whole)
def add_a_path(document, _steps):
    document["paths"]["/new/thing"] = {"get": {"operationId": "new", "responses": {"200": {"description": "ok"}}}}


@allowed(paths)
def add_an_operation(document, steps):
    # A method that no path of ours has.
    at(document, steps)["trace"] = {"operationId": "new", "responses": {"200": {"description": "ok"}}}


@allowed(operations)
def add_an_optional_parameter(document, steps):
    new = {"name": "new", "in": "query", "schema": {"type": "string", "default": "a"}}
    at(document, steps).setdefault("parameters", []).append(new)


@allowed(operations)
def add_an_optional_header(document, steps):
    new = {"name": "X-New", "in": "header", "schema": {"type": "string"}}
    at(document, steps).setdefault("parameters", []).append(new)


@allowed(operations)
def add_an_error_status(document, steps):
    at(document, steps)["responses"]["418"] = {"description": "I am a teapot"}


@allowed(operations)
def add_a_success_status(document, steps):
    at(document, steps)["responses"]["298"] = {"description": "In another way"}


@allowed(contents)
def offer_another_representation(document, steps):
    parent(document, steps)["application/x-new"] = {"schema": {"type": "string"}}


@allowed(own_responses)
def add_a_header(document, steps):
    at(document, steps).setdefault("headers", {})["X-New"] = {"schema": {"type": "string"}}


@allowed(bodies)
def accept_another_media_type(document, steps):
    at(document, steps)["content"]["application/x-new"] = {"schema": {"type": "string"}}


@allowed(bodies)
def make_a_body_optional(document, steps):
    at(document, steps)["required"] = False


@allowed(with_schema("maximum"))
def raise_a_maximum(document, steps):
    at(document, steps)["schema"]["maximum"] += 1


@allowed(with_schema("minimum"))
def lower_a_minimum(document, steps):
    at(document, steps)["schema"]["minimum"] -= 1


@allowed(with_schema("maximum"))
def drop_a_maximum(document, steps):
    del at(document, steps)["schema"]["maximum"]


@allowed(with_schema(type_="integer"))
def accept_fractions(document, steps):
    at(document, steps)["schema"]["type"] = "number"


@allowed(parameters())
def accept_null_too(document, steps):
    at(document, steps)["schema"]["nullable"] = True


@allowed(parameters(), silent=True)
def wrap_a_schema_in_all_of(document, steps):
    schema = at(document, steps)["schema"]
    default = {"default": schema.pop("default")} if "default" in schema else {}
    at(document, steps)["schema"] = {"allOf": [schema], **default}


@allowed(contents, silent=True)
def wrap_a_schema_in_one_of(document, steps):
    at(document, steps)["schema"] = {"oneOf": [at(document, steps)["schema"]]}


@allowed(operations)
def deprecate_an_operation(document, steps):
    at(document, steps).update({"deprecated": True, "x-sunset": "2099-01-01"})


@allowed(operations)
def give_another_tag(document, steps):
    at(document, steps)["tags"] = ["New"]


@allowed(parameters())
def deprecate_a_parameter(document, steps):
    at(document, steps)["deprecated"] = True


@allowed(whole)
def name_another_behaviour(document, _steps):
    document["info"]["x-behaviours"]["a_new_one"] = "word"


@allowed(objects)
def add_a_property(document, steps):
    schema = at(document, steps)
    others = schema.get("additionalProperties")
    schema["properties"]["new"] = others if isinstance(others, dict) else {"type": "string"}


@allowed(properties(optional))
def promise_a_property(document, steps):
    schema = at(document, steps[:-2])
    schema["required"] = [*schema.get("required", ()), steps[-1]]


@allowed(property_with("enum"))
def never_answer_with_a_value(document, steps):
    values = at(document, steps)["enum"]
    if len(values) > 1:
        values.pop()


@allowed(property_with("minimum"))
def answer_with_more(document, steps):
    at(document, steps)["minimum"] += 1


@allowed(property_with("maxLength"))
def answer_with_texts_of_one_form(document, steps):
    at(document, steps)["pattern"] = "^.*$"


@allowed(lists)
def answer_with_shorter_lists(document, steps):
    at(document, steps)["maxItems"] = 1000


@allowed(twins)
def accept_another_property(document, steps):
    at(document, steps)["properties"]["new"] = {"type": "string"}


@allowed(twins)
def accept_any_property(document, steps):
    del at(document, steps)["additionalProperties"]


@allowed(twins)
def accept_another_value(document, steps):
    at(document, steps)["properties"]["word"]["enum"].append("three")


@allowed(twins)
def accept_longer_texts(document, steps):
    at(document, steps)["properties"]["note"]["maxLength"] += 1


@allowed(twins)
def waive_all_properties(document, steps):
    at(document, steps)["required"] = []


@allowed(whole, silent=True)
def write_other_texts(document, _steps):
    _everywhere(document, _retext)


@allowed(whole, silent=True)
def write_everything_in_another_order(document, _steps):
    _everywhere(document, _reverse)


@allowed(whole, silent=True)
def rename_all_components(document, _steps):
    for group, members in document["components"].items():
        if group in ("schemas", "responses", "headers"):
            document["components"][group] = {f"New{name}": member for name, member in members.items()}
    _everywhere(document, _repoint)


@allowed(whole, silent=True)
def write_references_out(document, _steps):
    for path in list(document["paths"])[::5]:
        document["paths"][path] = _inlined(document, document["paths"][path])


@allowed(whole, silent=True)
def write_it_as_openapi_3_1(document, _steps):
    document["openapi"] = "3.1.0"


@allowed(whole, silent=True)
def serve_it_elsewhere(document, _steps):
    document["servers"] = [{"url": "https://another.example/"}]


@allowed(whole, silent=True)
def add_what_nobody_uses(document, _steps):
    document["components"]["schemas"]["Unused"] = {"type": "object", "required": ["a"]}
    document["x-note"] = {"any": ["thing"]}


@allowed(paths, silent=True)
def share_the_parameters_of_a_path(document, steps):
    """Parameters that all operations of a path have are written once at the path."""
    item = at(document, steps)
    lists_ = [operation.get("parameters", []) for operation in item.values()]
    shared = [parameter for parameter in lists_[0] if all(parameter in others for others in lists_)]
    for others in lists_:
        others[:] = [parameter for parameter in others if parameter not in shared]
    item["parameters"] = shared


@allowed(path_parameters)
def rename_a_placeholder(document, steps):
    path = steps[1]
    old = at(document, steps)["name"]
    for operation in document["paths"][path].values():
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path" and parameter["name"] == old:
                parameter["name"] = "renamed"
    renamed = path.replace("{" + old + "}", "{renamed}")
    document["paths"][renamed] = document["paths"].pop(path)


@allowed(parameters(lambda parameter: parameter["in"] == "header"), silent=True)
def write_a_header_in_upper_case(document, steps):
    at(document, steps)["name"] = at(document, steps)["name"].upper()


@allowed(operations, silent=True)
def say_that_nobody_has_to_prove_anything(document, steps):
    at(document, steps)["security"] = [{}]


def _drop(schema, name):
    del schema["properties"][name]
    schema["required"] = [other for other in schema.get("required", ()) if other != name]


def _everywhere(node, change):
    """Apply a change to every mapping, those inside first."""
    for below in list(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()):
        _everywhere(below, change)
    if isinstance(node, dict):
        change(node)


def _retext(node):
    for key in ("description", "summary", "title"):
        if isinstance(node.get(key), str):
            node[key] += " In other words."
    if "schema" in node and "in" in node:
        node["example"] = "e"


def _reverse(node):
    pairs = list(node.items())
    node.clear()
    for key, value in reversed(pairs):
        if key in ("parameters", "required", "enum", "tags") and isinstance(value, list):
            value.reverse()
        node[key] = value


def _repoint(node):
    if isinstance(node.get("$ref"), str):
        head, _, name = node["$ref"].rpartition("/")
        node["$ref"] = f"{head}/New{name}"


def _inlined(document, node, around=()):
    """A copy without references but those of a schema to itself, however far down."""
    if isinstance(node, list):
        return [_inlined(document, below, around) for below in node]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    if target in around:
        return dict(node)
    if isinstance(target, str):
        return _inlined(document, at(document, tuple(target.split("/")[1:])), (*around, target))
    return {key: _inlined(document, below, around) for key, below in node.items()}
