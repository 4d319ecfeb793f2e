"""Fingerprints of block pages: what collections know of them, and how an answer is compared with them.

A fingerprint is data: an id, the list it comes from, a scope, a place to look and a pattern. Patterns come from files
that others wrote and are run on pages that anybody may have sent, so expressions are RE2's: time in proportion to the
text, whatever both say. Most patterns are plain text and compared as such.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Protocol

import re2

from civobs_collector.detect.page_text import MOST, normalised

MOST_PATTERN = 4_096
"""Characters of a pattern."""
_META = frozenset(".^$*+?{}[]|()")


class Role(StrEnum):
    """What a match says."""

    BLOCK = "block"
    INNOCENT = "innocent"
    """A known false positive: a page that looks like a block page to some and is none."""


class Form(StrEnum):
    """How a pattern is compared (ooni/blocking-fingerprints, ``pattern_type``)."""

    CONTAINS = "contains"
    PREFIX = "prefix"
    FULL = "full"
    REGEXP = "regexp"


SCOPES = {
    "nat": "a country's own page",
    "isp": "a provider's page",
    "prod": "a product's default page",
    "inst": "an institution's: a school, an office",
    "vbw": "vague blocking words",
    "unk": "not known whose",
    "fp": "known false positive",
    "prov": "the site's own provider",
    "injb": "injected by somebody not known",
    "lab": "this project's laboratory",
}
"""The Citizen Lab's scopes and OONI's (ooni/blocking-fingerprints), ``unk`` for Censored Planet's, ``lab`` for ours."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One of them."""

    id: str
    source: str
    """Name of the list."""
    pattern: str
    role: Role = Role.BLOCK
    scope: str = "unk"
    location: str = "any"
    """``any``, ``body``, ``header`` (all fields), or ``header.NAME``."""
    form: Form = Form.CONTAINS
    countries: tuple[str, ...] = ()
    confidence: int | None = None
    """1 to 10, its author's own word on how unlikely a false positive is."""


OWN: tuple[Fingerprint, ...] = (
    Fingerprint(
        "lab_block_page",
        "civobs",
        "<html><head><title>Forbidden</title></head><body>Access to this site is forbidden.</body></html>",
        scope="lab",
        location="body",
        form=Form.PREFIX,
    ),
)
"""Those of this project: the laboratory's page only. The rest are imported, under their own licences."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What of an HTTP answer patterns are compared with."""

    headers: tuple[tuple[str, str], ...]
    """As they were said, ``Location`` among them."""
    title: str
    body: str

    @property
    def head(self) -> str:
        """The fields as lines, names written as most servers do: ``Content-Type: text/html``."""
        return "".join(f"{name.title()}: {value}\n" for name, value in self.headers)

    @property
    def page(self) -> str:
        """The body, and after it the title where it is not in it."""
        known = f"<title>{self.title}</title>" if self.title else ""
        return self.body if not known or self.title in self.body else f"{self.body}\n{known}"


def answer(headers: Iterable[tuple[str, str]], title: str | None, sample: str | None, location: str | None) -> Answer:
    """Put together what is known of an answer."""
    fields = [(name.lower(), value) for name, value in headers]
    if location and ("location", location) not in fields:
        fields.append(("location", location))
    return Answer(tuple(fields), title or "", (sample or "")[:MOST])


class _Pattern(Protocol):
    def search(self, text: str) -> object: ...


@dataclass(frozen=True, slots=True)
class _Ready:
    fingerprint: Fingerprint
    text: str
    expression: _Pattern | None


class PatternError(ValueError):
    """A pattern that cannot be used; the text says why."""


@dataclass(frozen=True)
class Fingerprints:
    """A set of fingerprints, ready to be compared. Raises PatternError where one cannot be."""

    entries: tuple[Fingerprint, ...] = OWN

    def matches(self, found: Answer) -> tuple[Fingerprint, ...]:
        """All that match, in the order of source and id."""
        everything = f"{found.head}\n{found.page}"
        return tuple(
            one.fingerprint for one in self._ready if any(_fits(one, text) for text in _where(one, found, everything))
        )

    @cached_property
    def _ready(self) -> Sequence[_Ready]:
        ordered = sorted(self.entries, key=lambda one: (one.source, one.id, one.location, one.form, one.pattern))
        return tuple(ready(one) for one in dict.fromkeys(ordered))


def ready(one: Fingerprint) -> _Ready:
    """Make a fingerprint ready. Raises PatternError."""
    if not one.pattern.strip():
        raise PatternError("the pattern is empty")
    if len(one.pattern) > MOST_PATTERN:
        raise PatternError(f"the pattern is longer than {MOST_PATTERN} characters")
    if "\ufffd" in one.pattern:
        raise PatternError("the pattern was damaged by a wrong encoding")
    literal = said(one)
    if literal is not None:
        return _Ready(one, literal, None)
    options = re2.Options()
    options.log_errors = False
    try:
        expression = re2.compile(one.pattern, options)
    except re2.error as error:
        raise PatternError(f"the pattern is no expression of RE2: {error}") from None
    if expression.search("") is not None:
        raise PatternError("the pattern matches anything")
    return _Ready(one, "", expression)


def said(one: Fingerprint) -> str | None:
    """The text that a pattern asks for; None for an expression that is more than text."""
    if one.form is not Form.REGEXP:
        return one.pattern
    plain, escaped = [], False
    for letter in one.pattern:
        if escaped:
            if letter.isalnum():
                return None
            plain.append(letter)
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter in _META:
            return None
        else:
            plain.append(letter)
    return "".join(plain)


def words_of(one: Fingerprint) -> str:
    """The words that a pattern asks for, tags and signs of expressions left out, normalised."""
    text = one.pattern.replace("\\", "") if one.form is Form.REGEXP else one.pattern
    return normalised(re2.sub(r"</?[a-zA-Z][^<>]*>?|^[A-Z][A-Za-z-]+: ", " ", text))


def _where(one: _Ready, found: Answer, everything: str) -> tuple[str, ...]:
    place = one.fingerprint.location
    if place == "any":
        return (everything,)
    if place == "body":
        return (found.page if one.fingerprint.form is not Form.FULL else found.body,)
    if place == "header":
        return (found.head,)
    name = place.removeprefix("header.")
    return tuple(value for field, value in found.headers if field == name)


def _fits(one: _Ready, text: str) -> bool:
    if one.expression is not None:
        return one.expression.search(text) is not None
    match one.fingerprint.form:
        case Form.PREFIX:
            return text.startswith(one.text)
        case Form.FULL:
            return text == one.text
        case _:
            return one.text in text
