"""The words of pages, read from ``page_words.toml``, as expressions on normalised text."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Protocol

import re2

from civobs_collector.detect.page_text import normalised


class Found(Protocol):
    """A match of RE2's."""

    def start(self) -> int: ...


class Expression(Protocol):
    """An expression of RE2, whose time is in proportion to the text."""

    def findall(self, text: str) -> list[str]: ...
    def finditer(self, text: str) -> list[Found]: ...


@cache
def vocabulary() -> Mapping[str, frozenset[str]]:
    """All lists by name."""
    source = resources.files("civobs_collector.detect") / "page_words.toml"
    lists = tomllib.loads(source.read_text(encoding="utf-8"))
    return MappingProxyType(
        {name: frozenset(one.strip() for one in text.split(",")) - {""} for name, text in lists.items()}
    )


@cache
def expressions() -> Mapping[str, Expression]:
    """One expression a list."""
    return MappingProxyType(
        {name: re2.compile("|".join(sorted(map(_expression, words)))) for name, words in vocabulary().items()}
    )


def found(name: str, text: str) -> frozenset[str]:
    """Which words of a list are in a normalised text."""
    return frozenset(one.strip() for one in expressions()[name].findall(text))


def _expression(entry: str) -> str:
    """Where a word begins with it, and ends there after ``$``; anywhere in scripts that join words."""
    words = str(re2.escape(normalised(entry.removesuffix("$")).strip()))
    before = "" if any(_joins(letter) for letter in entry) else " "
    return before + words + (" " if entry.endswith("$") else "")


def _joins(letter: str) -> bool:
    """Hebrew and Arabic put particles before a word; from Thai on scripts have no blanks, or endings in their place."""
    return (
        "\u0590" <= letter <= "\u06ff"
        or "\u0e00" <= letter <= "\u0eff"
        or "\u1000" <= letter <= "\u17ff"
        or letter >= "\u3000"
    )
