"""Reading a TOML file into a model so strictly that every mistake is told in one line: file, line, cause, remedy."""

import codecs
import difflib
import json
import re
import stat
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeGuard, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from civobs_lab.toml_lines import Lines, Where

_EXPECTED = {
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table of key = value",
    "model_type": "a table of key = value",
    "model_attributes_type": "a table of key = value",
    "finite_number": "a finite number",
    "ip_v4_address": "an address such as '192.0.2.1' or '2001:db8::1'",
    "ip_v6_address": "an address such as '192.0.2.1' or '2001:db8::1'",
    "ip_v4_network": "a prefix such as '198.18.5.0/24' or '2001:db8:5::/48'",
    "ip_v6_network": "a prefix such as '198.18.5.0/24' or '2001:db8:5::/48'",
    "ipv4network": "a prefix such as '198.18.5.0/24'",
    "ipv6network": "a prefix such as '2001:db8:5::/48'",
}
"""What should have been written, by pydantic's type of error or a schema's form of text."""

_DATE = "TOML date"

M = TypeVar("M", bound=BaseModel)


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
        others = f" (and {more} more mistake{'s' * (more > 1)})" if more else ""
        self.remedy = _one_line(remedy) + others
        super().__init__(f"{self.where}: {self.cause}; {self.remedy}")


def wrong(cause: str, remedy: str, *below: str | int) -> PydanticCustomError:
    """For a model's validators: what is wrong, and at which key below."""
    return PydanticCustomError("wrong", "{cause}; {remedy}", {"cause": cause, "remedy": remedy, "below": list(below)})


class Document(Generic[M]):
    """A file that was read."""

    def __init__(self, path: Path, model: type[M]) -> None:
        """Raise FileError."""
        self.path = path
        # Some editors put a byte order mark before the first line.
        raw = _bytes(path).removeprefix(codecs.BOM_UTF8)
        values = _values(path, raw)
        self.lines = Lines(raw)
        try:
            # By way of JSON, since only there "strict" takes a list for a tuple and a text for an enumeration.
            self.value = model.model_validate_json(values, strict=True)
        except ValidationError as error:
            if error.errors()[0]["type"] == "json_invalid":  # deeper than it can be read again
                raise _too_deep(path, raw) from None
            self.refuse(problems(error, model))
            raise

    def refuse(self, problems: Iterable[Problem]) -> None:
        """Raise FileError for the first in the file, if there is any."""
        ordered = sorted(dict.fromkeys(problems), key=lambda problem: self.lines.of(problem.where))
        if ordered:
            first = ordered[0]
            raise FileError(self.path, self.lines.of(first.where), first.cause, first.remedy, len(ordered) - 1)


def problems(error: ValidationError, model: type[BaseModel], at: Where = ()) -> list[Problem]:
    """All that a model refused; ``at`` is its place in the file.

    What a table with an unknown key lacks is left out: the key was probably meant for it.
    """
    found = error.errors(include_url=False)
    strange = {each["loc"][:-1] for each in found if each["type"] == "extra_forbidden"}
    told = [each for each in found if each["type"] != "missing" or each["loc"][:-1] not in strange]
    return [_problem(each, _schema(model), at) for each in told]


def nearest(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A remedy for a word that does not exist: the one that was probably meant, or all there are."""
    words = sorted(set(known))
    close = difflib.get_close_matches(word.lower(), {each.lower() for each in words}, n=1)
    for each in words:
        if close and each.lower() == close[0]:
            return f"did you mean {each!r}?"
    return f"{otherwise} {', '.join(words)}" if words else "there is none to name"


def place(where: Where) -> str:
    """A place in the words of the file: ``[plan]``, ``[[fault]] number 2``, ``names, item 2``."""
    match where:
        case ():
            return "the file"
        case (str(name), int(index)):
            return f"[[{name}]] number {index + 1}"
        case (*_, name, int(index)):
            return f"`{name}`, item {index + 1}"
        case _:
            return f"`{where[-1]}`"


def _bytes(path: Path) -> bytes:
    try:
        if stat.S_ISCHR(path.stat().st_mode) or stat.S_ISFIFO(path.stat().st_mode):
            # A device may never end, and a pipe can be read but once.
            raise FileError(path, 1, "this is no file but a device or a pipe", "name a .toml file")
        return path.read_bytes()
    except IsADirectoryError:
        raise FileError(path, 1, "this is a folder", "name the .toml files in it") from None
    except FileNotFoundError:
        raise FileError(path, 1, "there is no such file", "check the name") from None
    except OSError as error:
        raise FileError(path, 1, f"it cannot be read: {error.strerror}", "name a readable file") from None


def _values(path: Path, raw: bytes) -> str:
    """What stands in the file, as JSON."""
    try:
        values = tomllib.loads(raw.decode())
        written = json.dumps(values, default=_not_json)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError(
            path, line, "this is not text in UTF-8", "save it as UTF-8 text, or name another file"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise _syntax(path, raw, str(error)) from None
    except RecursionError:
        raise _too_deep(path, raw) from None
    except ValueError:
        # The interpreter reads and writes no number of more than 4300 digits.
        raise FileError(path, _longest_line(raw), "a number of thousands of digits", "write a smaller one") from None
    if not values:
        raise FileError(path, 1, "the file is empty", "docs/lab.md has one to start from")
    return written


def _too_deep(path: Path, raw: bytes) -> FileError:
    remedy = "nothing here needs more than three levels"
    return FileError(path, _longest_line(raw), "lists or tables are nested too deeply", remedy)


def _longest_line(raw: bytes) -> int:
    """Where there is most likely too much of something."""
    lines = raw.splitlines()
    return lines.index(max(lines, key=len)) + 1


def _syntax(path: Path, raw: bytes, said: str) -> FileError:
    """The standard library says "… (at line 3, column 7)" or "… (at end of document)"."""
    last = max(1, len(raw.splitlines()))
    found = re.fullmatch(r"(?P<cause>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)", said, re.DOTALL)
    if found is None:
        cause = said.removesuffix(" (at end of document)")
        return FileError(path, last, f"not TOML: {cause}", "the file ends too early: close what is open")
    remedy = f"put right what stands at column {found['column']}: texts and spans are in quotes"
    if re.match(r"Cannot|Duplicate", found["cause"]):
        remedy = "a key or table of this name stands above: keep one"
    return FileError(path, min(int(found["line"]), last), f"not TOML: {found['cause']}", remedy)


def _not_json(value: object) -> dict[str, str]:
    """Dates and times, which nothing takes: a table is refused where a text or a number would be taken."""
    return {_DATE: str(value)}


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _problem(error: ErrorDetails, schema: dict[str, Any], at: Where) -> Problem:
    """One of pydantic's errors in this module's words."""
    where, below = _resolve(error["loc"], schema)
    where = (*at, *where)
    context = error.get("ctx", {})
    key = place(where)
    match error["type"]:
        case "missing":
            cause, remedy = f"{place(where[:-1])} has no {key}", f"write {where[-1]} = … there"
        case "extra_forbidden":
            known = _resolve(error["loc"][:-1], schema)[1].get("properties", {})
            cause = f"unknown key {key} in {place(where[:-1])}"
            remedy = nearest(str(where[-1]), known, otherwise="the keys there are")
        case "union_tag_not_found":
            cause, remedy = f"{key} has no `kind`", f"write kind = … there, one of {', '.join(_tags(below))}"
        case "union_tag_invalid":
            where = (*where, "kind")
            cause = f"there is no kind {context['tag']!r}"
            remedy = nearest(str(context["tag"]), _tags(below), otherwise="there are")
        case "wrong":
            where = (*where, *context["below"])
            cause, remedy = context["cause"], context["remedy"]
        case "value_error":
            # A topology's errors know their place (TopologyError.loc); others are about the value itself.
            below_it = getattr(context["error"], "loc", ())
            where = (*where, *below_it)
            said, _, remedy = getattr(context["error"], "why", str(context["error"])).partition("; ")
            if _is_date(error["input"]):
                said = said.replace(str(error["input"]), _shown(error["input"]))
            expected = _EXPECTED.get(below.get("format", ""))
            cause = said if below_it else f"{key}: {said}"
            remedy = remedy or (f"write {expected}" if expected else "docs/lab.md says what may stand there")
        case _:
            cause, remedy = _value_problem(error, key, below)
    return Problem(where, cause, remedy)


def _value_problem(error: ErrorDetails, key: str, schema: dict[str, Any]) -> tuple[str, str]:
    """Cause and remedy where a value is not what may stand there."""
    context = error.get("ctx", {})
    cause = f"{key} cannot be {_shown(error['input'])}"
    match error["type"]:
        case "literal_error" | "enum":
            remedy = nearest(str(error["input"]), _words(schema), otherwise="it may be")
        case "tuple_type" if isinstance(error["input"], dict) and not _is_date(error["input"]):
            remedy = f"write [[{key.strip('`')}]] with two brackets on each side"
        case "string_pattern_mismatch":
            examples = " or ".join(map(repr, schema.get("examples", [])))
            remedy = f"write one such as {examples}" if examples else f"write one of the form {context['pattern']}"
        case "too_short":
            remedy = f"name at least {context['min_length']}"
        case kind if kind in _EXPECTED:
            remedy = f"write {_EXPECTED[kind]}"
        case _:
            said = re.sub("^(Input|String|Value) ", "it ", error["msg"])
            remedy = said if "should" in said else f"{said}; write one that is"
    return cause, remedy


def _resolve(loc: Sequence[str | int], schema: dict[str, Any]) -> tuple[Where, dict[str, Any]]:
    """The place in the file and its schema: pydantic names a union's member on the way, the file does not."""
    where: list[str | int] = []
    here = _deref(schema, schema)
    for step in loc:
        if "discriminator" in here:
            here = _deref({"$ref": here["discriminator"]["mapping"].get(step, "")}, schema)
            continue
        if "anyOf" in here:
            continue
        where.append(step)
        below = here.get("properties", {}).get(step) if isinstance(step, str) else here.get("items")
        found = below or here.get("additionalProperties")
        here = _deref(found, schema) if isinstance(found, dict) else {}
    return tuple(where), here


def _deref(here: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in here:
        found: dict[str, Any] = schema["$defs"].get(here["$ref"].rpartition("/")[2], {})
        return found
    if "anyOf" in here:
        return here | {"anyOf": [_deref(each, schema) for each in here["anyOf"]]}
    return here


def _words(schema: dict[str, Any]) -> list[str]:
    """What may stand there, of an enumeration or of several."""
    found = [str(word) for word in (*schema.get("enum", []), schema.get("const", "")) if word]
    for each in schema.get("anyOf", []):
        found += _words(each)
    return found


def _tags(schema: dict[str, Any]) -> list[str]:
    return list(schema.get("discriminator", {}).get("mapping", {}))


def _is_date(value: object) -> TypeGuard[dict[str, str]]:
    return isinstance(value, dict) and _DATE in value


def _shown(value: object) -> str:
    text = value[_DATE] if _is_date(value) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def _one_line(text: str) -> str:
    return " ".join(text.split())
