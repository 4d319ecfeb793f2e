"""Reading a TOML file into a model so strictly that every mistake is told in one line: file, line, cause, remedy.

The standard library reads the values and tree-sitter, whose tree knows where everything stands, tells the lines: a
reader with both is not to be had.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import tree_sitter
import tree_sitter_toml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

TYPE_WORDS = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table of key = value",
    "model_type": "a table of key = value",
    "model_attributes_type": "a table of key = value",
}
"""What should have been written, by pydantic's kind of error."""

M = TypeVar("M", bound=BaseModel)

Where = tuple[str | int, ...]
"""Keys and indexes from the top of the file."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    where: Where
    cause: str
    remedy: str


class FileError(ValueError):
    """A file cannot be used; the text is ``FILE:LINE: cause; remedy``."""

    def __init__(self, path: Path, line: int, cause: str, remedy: str, more: int = 0) -> None:
        self.where = f"{path}:{line}"
        self.cause = _one_line(cause)
        self.remedy = _one_line(remedy) + (f" (and {more} more mistakes)" if more > 1 else "")
        self.remedy += " (and one more mistake)" if more == 1 else ""
        super().__init__(f"{self.where}: {self.cause}; {self.remedy}")


def wrong(cause: str, remedy: str, *below: str | int) -> PydanticCustomError:
    """For a model's validators: what is wrong, and at which key below."""
    return PydanticCustomError("wrong", "{cause}; {remedy}", {"cause": cause, "remedy": remedy, "below": list(below)})


class Document(Generic[M]):
    """A file that was read."""

    def __init__(self, path: Path, model: type[M]) -> None:
        """Raise FileError."""
        self.path = path
        raw = _bytes(path)
        values = _values(path, raw)
        self._lines = _lines(raw)
        try:
            # By way of JSON, since only there "strict" takes a list for a tuple and a text for an enumeration.
            self.value = model.model_validate_json(json.dumps(values, default=_not_json), strict=True)
        except ValidationError as error:
            schema = _schema(model)
            self.refuse([_problem(each, schema) for each in error.errors(include_url=False)])
            raise

    def line(self, where: Where) -> int:
        """Where it stands, or what it would stand in."""
        while where and where not in self._lines:
            where = where[:-1]
        return self._lines.get(where, 1)

    def refuse(self, problems: Iterable[Problem]) -> None:
        """Raise FileError for the first in the file, if there is any."""
        ordered = sorted(problems, key=lambda problem: self.line(problem.where))
        if ordered:
            first = ordered[0]
            raise FileError(self.path, self.line(first.where), first.cause, first.remedy, len(ordered) - 1)


def nearest(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A remedy for a word that does not exist: the one that was probably meant, or all there are."""
    words = sorted(set(known))
    close = difflib.get_close_matches(word.lower(), {each.lower() for each in words}, n=1, cutoff=0.6)
    for each in words:
        if close and each.lower() == close[0]:
            return f"did you mean {each!r}?"
    return f"{otherwise} {', '.join(words)}" if words else "there is none to name"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise FileError(path, 1, "this is a folder", "name the .toml files in it") from None
    except FileNotFoundError:
        raise FileError(path, 1, "there is no such file", "check the name") from None
    except OSError as error:
        raise FileError(path, 1, f"cannot be read: {error.strerror}", "make it readable") from None


def _values(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError(path, line, "this is not text in UTF-8", "save it as a UTF-8 text file") from None
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # "… (at line 3, column 7)" or "(at end of document)".
        said = re.fullmatch(r"(.*?)(?: \(at (?:line (\d+), column (\d+)|end of document)\))?", str(error), re.DOTALL)
        assert said is not None  # everything in it is optional
        last = max(1, len(text.splitlines()))
        line = int(said[2]) if said[2] else last
        place = f"column {said[3]}" if said[3] else "the end"
        remedy = f"write this line as TOML has it (it stops making sense at {place})"
        raise FileError(path, min(line, last), f"not TOML: {said[1]}", remedy) from None
    if not values:
        raise FileError(path, 1, "the file is empty", "docs/lab.md has one to start from")
    return values


def _not_json(value: object) -> dict[str, str]:
    """Dates and times, which nothing takes: a table is refused where a text or a number would be taken."""
    return {"date": str(value)}


def _lines(raw: bytes) -> dict[Where, int]:
    """The line of every key and of every item of a list."""
    lines: dict[Where, int] = {}
    counts: dict[Where, int] = {}
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))

    def key(node: tree_sitter.Node) -> list[str]:
        found: list[str] = []
        rest: object = tomllib.loads(_text(node) + " = 0")
        while isinstance(rest, dict):
            ((name, rest),) = rest.items()
            found.append(name)
        return found

    def value(node: tree_sitter.Node, where: Where) -> None:
        if node.type == "inline_table":
            pairs(node, where)
        elif node.type == "array":
            items = [child for child in node.named_children if child.type != "comment"]
            for index, item in enumerate(items):
                lines[*where, index] = item.start_point.row + 1
                value(item, (*where, index))

    def pairs(node: tree_sitter.Node, where: Where) -> None:
        for pair in node.named_children:
            if pair.type == "pair":
                name, *_, last = (child for child in pair.named_children if child.type != "comment")
                below = where
                for part in key(name):
                    below = (*below, part)
                    lines.setdefault(below, name.start_point.row + 1)
                value(last, below)

    root = parser.parse(raw).root_node
    pairs(root, ())
    for table in root.named_children:
        if table.type not in {"table", "table_array_element"}:
            continue
        where: Where = ()
        *path, last = key(next(child for child in table.named_children if child.type.endswith("_key")))
        for part in path:
            where = (*where, part)
            where = (*where, counts[where] - 1) if where in counts else where
        where = (*where, last)
        row = table.start_point.row + 1
        lines.setdefault(where, row)
        if table.type == "table_array_element":
            counts[where] = counts.get(where, 0) + 1
            where = (*where, counts[where] - 1)
            lines[where] = row
        pairs(table, where)
    return lines


def _text(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _problem(error: ErrorDetails, schema: dict[str, Any]) -> Problem:
    """One of pydantic's errors in this module's words."""
    where, below = _resolve(error["loc"], schema)
    key = f"`{where[-1]}`" if where and isinstance(where[-1], str) else place(where)
    got = error["input"]
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return Problem(where, f"{place(where[:-1])} has no {key}", f"write {where[-1]} = … there")
        case "extra_forbidden":
            known = _resolve(error["loc"][:-1], schema)[1].get("properties", {})
            remedy = nearest(str(where[-1]), known, otherwise="the keys there are")
            return Problem(where, f"unknown key {key} in {place(where[:-1])}", remedy)
        case "union_tag_not_found":
            return Problem(where, f"{place(where)} has no `kind`", f"write kind = … there: {', '.join(_tags(below))}")
        case "union_tag_invalid":
            remedy = nearest(str(context["tag"]), _tags(below), otherwise="there are")
            return Problem((*where, "kind"), f"unknown kind {context['tag']!r}", remedy)
        case "literal_error" | "enum":
            known = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
            return Problem(where, f"{key} cannot be {_shown(got)}", nearest(str(got), known, otherwise="write one of"))
        case "wrong":
            return Problem((*where, *context["below"]), context["cause"], context["remedy"])
        case "value_error":
            cause, _, remedy = str(context["error"]).partition("; ")
            return Problem(where, cause, remedy or "docs/lab.md says what may stand there")
        case "string_pattern_mismatch":
            return Problem(where, f"{key} cannot be {_shown(got)}", f"write one that matches {context['pattern']}")
        case kind if kind in TYPE_WORDS:
            return Problem(where, f"{key} cannot be {_shown(got)}", f"write {TYPE_WORDS[kind]}")
        case _:
            remedy = re.sub(r"^Input should ", "it should ", error["msg"])
            return Problem(where, f"{key} cannot be {_shown(got)}", remedy[0].lower() + remedy[1:])


def _resolve(loc: Sequence[str | int], schema: dict[str, Any]) -> tuple[Where, dict[str, Any]]:
    """The place in the file and its schema: pydantic names a union's member on the way, the file does not."""
    where: list[str | int] = []
    here = schema
    for step in loc:
        here = _deref(here, schema)
        if "discriminator" in here:
            here = {"$ref": here["discriminator"]["mapping"].get(step, "")}
            continue
        where.append(step)
        below = here.get("properties", {}).get(step) if isinstance(step, str) else here.get("items")
        here = below or here.get("additionalProperties") or {}
        here = here if isinstance(here, dict) else {}
    return tuple(where), _deref(here, schema)


def _deref(here: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in here:
        found: dict[str, Any] = schema["$defs"].get(here["$ref"].rpartition("/")[2], {})
        return found
    return here


def _tags(schema: dict[str, Any]) -> list[str]:
    return list(schema.get("discriminator", {}).get("mapping", {}))


def place(where: Where) -> str:
    """A place in the words of the file: ``[plan]``, ``[[fault]]``, ``names[2]``."""
    match where:
        case ():
            return "the file"
        case (*_, str(name), int(index)):
            return f"[[{name}]] number {index + 1}" if len(where) == 2 else f"`{name}`, item {index + 1}"
        case _:
            return f"[{'.'.join(str(part) for part in where if isinstance(part, str))}]"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def _one_line(text: str) -> str:
    return " ".join(text.split())
