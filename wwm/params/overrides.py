"""Single keys of params.yaml that are set from outside: `pretrain.models.bert.phases.0.steps` -> 2000."""

import re
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.tokens import ScalarToken

from wwm.common.errors import UserError
from wwm.params import parse
from wwm.params.fields import NAME
from wwm.params.whole import Params

INDEX = "[0-9]+"
NULL = "tag:yaml.org,2002:null"
UNKNOWN = "nothing, for params.yaml has no such key: docs/params.md has them all"


def schema() -> dict[str, Any]:
    """JSON schema of overrides, so that a form shows each key with its text, and refuses what no params.yaml may hold.

    Keys of named items and of places in a list are patterns.
    """
    whole = Params.model_json_schema()
    fixed: dict[str, Any] = {}
    patterns: dict[str, Any] = {}
    for place, node in keys(whole, whole["$defs"]):
        if "." not in place:
            continue  # a section
        told = inlined(node, whole["$defs"])
        if re.fullmatch(r"[\w.]+", place):
            # A default would be sent along by a form that nobody filled in.
            fixed[place] = {key: value for key, value in told.items() if key != "default"} | {"title": place}
        else:
            patterns[f"^{place.replace('.', chr(92) + '.').replace('*', NAME).replace('#', INDEX)}$"] = told
    return {
        "type": "object",
        "properties": fixed,
        "patternProperties": patterns,
        # What a validator says of a key that is none of these; `False` would make it recite them all.
        "additionalProperties": {"const": UNKNOWN},
    }


def keys(node: dict, defs: dict, prefix: str = "") -> Iterator[tuple[str, dict]]:
    """All keys below a section's schema; `*` stands for a name, `#` for a place in a list."""
    node = resolved(node, defs)
    for name, own in node.get("properties", {}).items():
        yield f"{prefix}{name}", own
        yield from keys(own, defs, f"{prefix}{name}.")
    for item in node.get("patternProperties", {}).values():
        yield f"{prefix}*", item
        yield from keys(item, defs, f"{prefix}*.")
    if "items" in node:
        yield from keys(node["items"], defs, f"{prefix}#.")
    for one in node.get("anyOf", []):
        yield from keys(one, defs, prefix)


def resolved(node: dict, defs: dict) -> dict:
    return defs[node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def inlined(node: Any, defs: dict) -> Any:
    """`node` without references, which would lead nowhere in another schema."""
    if isinstance(node, list):
        return [inlined(one, defs) for one in node]
    if not isinstance(node, dict):
        return node
    own = {key: inlined(value, defs) for key, value in node.items() if key != "$ref"}
    return {**inlined(resolved(node, defs), defs), **own} if "$ref" in node else own


def given(pairs: Iterable[str]) -> dict[str, Any]:
    """Overrides of what a command line says: KEY=VALUE, the value as params.yaml would have it. Raises UserError."""
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UserError(f"--set {pair}: give key and value, as --set base.seed=7")
        try:
            found[key] = parse.parsed(value)
        except UserError:
            raise UserError(f"--set {pair}: {value} is no value of YAML; put a text with signs in quotes") from None
    return found


def applied(text: str, overrides: Mapping[str, Any]) -> str:
    """The text of a params.yaml with these keys set, in sections that may be absent too; comments stay, but for those
    on values that are no longer there.

    Raises UserError for a key that leads nowhere; what it may hold is checked where the whole is read.
    """
    if not overrides:
        return text
    # As the files of presets/ are laid out, so that a diff shows what was set and nothing else.
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), lambda self, _: self.represent_scalar(NULL, "null"))
    try:
        loaded = parse.parsed(text, yaml)
    except UserError as error:
        raise UserError(f"params.yaml is not YAML: {error}") from None
    values = yaml.load(without_comments(text, set_in(loaded, overrides)))
    set_in(values, overrides)
    out = StringIO()
    yaml.dump(values, out)
    return out.getvalue()


def set_in(values: Any, overrides: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Line and column, counted from 0, of each key that had another value."""
    places = []
    for key, value in overrides.items():
        node, last = holder(values, key)
        if isinstance(node, CommentedSeq) and node[last] != value:
            places.append(node.lc.item(last))
        elif isinstance(node, CommentedMap) and last in node and node[last] != value:
            places.append(node.lc.key(last))
        node[last] = value
    return places


def holder(values: Any, key: str) -> tuple[Any, str | int]:
    """What `key` stands in, and its name or place there; a section that may be absent is added. Raises UserError."""
    *path, last = key.split(".")
    if not path:
        raise UserError(f"{key} is no key of params.yaml; docs/params.md has them all")
    section = Params.model_fields.get(path[0])
    if section and not section.is_required() and isinstance(values, dict):
        values.setdefault(path[0], section.default.model_dump())
    node = values
    for count, part in enumerate(path):
        node = child(node, part, key, ".".join(path[:count]))
    if isinstance(node, dict):
        return node, last
    child(node, last, key, ".".join(path))
    return node, int(last)


def without_comments(text: str, places: Iterable[tuple[int, int]]) -> str:
    """Without the comments on values that begin there: above them, behind them and within."""
    lines, begun = text.split("\n"), comments(text)
    indents = [len(line) - len(line.lstrip()) for line in lines]
    going: set[int] = set()
    for first, column in places:
        above = first
        while above and begun.get(above - 1) == indents[above - 1] == indents[first]:
            above -= 1
        below = first + 1
        while below < len(lines) and lines[below] and indents[below] > column:
            below += 1
        going |= {*range(above, below)} & {*begun}
    left = {number: line[: begun[number]].rstrip() if number in going else line for number, line in enumerate(lines)}
    return "\n".join(line for number, line in left.items() if line or number not in going)


def comments(text: str) -> dict[int, int]:
    """Column by line, both counted from 0, of what is one, and no part of a text that has the sign."""
    tokens = YAML(typ="safe", pure=True).scan(text)
    texts = [(one.start_mark.index, one.end_mark.index) for one in tokens if isinstance(one, ScalarToken)]
    found: dict[int, int] = {}
    for sign in re.finditer(r"(?<!\S)#", text):
        if not any(begin <= sign.start() < end for begin, end in texts):
            line = text.count("\n", 0, sign.start())
            found.setdefault(line, sign.start() - (text.rfind("\n", 0, sign.start()) + 1))
    return found


def child(node: Any, part: str, key: str, place: str) -> Any:
    """What `part` of an override's `key` leads to, below `place`. Raises UserError."""
    if isinstance(node, list):
        if re.fullmatch(INDEX, part) and int(part) < len(node):
            return node[int(part)]
        raise UserError(f"{key}: {place} is a list of {len(node)}; say 0 to {len(node) - 1} for {part}")
    if isinstance(node, dict):
        if part in node:
            return node[part]
        raise UserError(f"{key}: {place or 'params.yaml'} has no {part}; it has {', '.join(map(str, node))}")
    raise UserError(f"{key}: {place} is {node!r} and holds no {part}; set {place} as a whole")
