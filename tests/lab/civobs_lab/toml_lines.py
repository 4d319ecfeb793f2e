"""On which line of a TOML file each key and each item of a list stands.

The standard library reads the values and does not tell; tree-sitter's tree knows where everything is.
"""

import tomllib
from collections.abc import Iterator

import tree_sitter
import tree_sitter_toml

Where = tuple[str | int, ...]
"""Keys and indexes from the top of the file."""


class Lines:
    """The lines of a file that the standard library could read."""

    def __init__(self, raw: bytes) -> None:
        self._known: dict[Where, int] = {}
        self._counts: dict[Where, int] = {}
        """How many ``[[tables]]`` of a name there have been."""
        parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
        root = parser.parse(raw).root_node
        self._pairs(root, ())
        for node in root.named_children:
            if node.type in {"table", "table_array_element"}:
                self._pairs(node, self._header(node))

    def of(self, where: Where) -> int:
        """Where it stands, or what it would stand in."""
        while where and where not in self._known:
            where = where[:-1]
        return self._known.get(where, 1)

    def _header(self, table: tree_sitter.Node) -> Where:
        """The place that ``[a.b]`` or ``[[a.b]]`` names; inside an array of tables it is in the last one."""
        *path, last = _key(next(node for node in table.named_children if node.type.endswith("_key")))
        where: Where = ()
        for part in path:
            where = (*where, part)
            if where in self._counts:
                where = (*where, self._counts[where] - 1)
        where = (*where, last)
        self._note(table, where)
        if table.type == "table_array_element":
            self._counts[where] = self._counts.get(where, 0) + 1
            where = (*where, self._counts[where] - 1)
            self._note(table, where)
        return where

    def _pairs(self, node: tree_sitter.Node, where: Where) -> None:
        for pair in node.named_children:
            if pair.type == "pair":
                name, value = _solid(pair)
                below = where
                for part in _key(name):
                    below = (*below, part)
                    self._note(name, below)
                self._value(value, below)

    def _value(self, node: tree_sitter.Node, where: Where) -> None:
        if node.type == "inline_table":
            self._pairs(node, where)
        elif node.type == "array":
            for index, item in enumerate(_solid(node)):
                self._note(item, (*where, index))
                self._value(item, (*where, index))

    def _note(self, node: tree_sitter.Node, where: Where) -> None:
        self._known.setdefault(where, node.start_point.row + 1)


def _solid(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    return (child for child in node.named_children if child.type not in {"comment", "ERROR"})


def _key(node: tree_sitter.Node) -> list[str]:
    """The parts of a key, unquoted."""
    found: list[str] = []
    rest: object = tomllib.loads((node.text or b"").decode() + " = 0")
    while isinstance(rest, dict):
        ((name, rest),) = rest.items()
        found.append(name)
    return found
