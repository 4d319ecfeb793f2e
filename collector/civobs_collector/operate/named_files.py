"""The files that settings name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SECRETS = ("_file",)
"""How settings that name a file with a secret end."""
KEPT = ("_file", "tls_ca")
"""The same for those that a backup keeps."""


def named_files(settings: Mapping[str, Any], endings: tuple[str, ...]) -> Iterator[Path]:
    """Every file under a key that ends so, at whatever depth."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from named_files(value, endings)
        elif isinstance(value, tuple | list):
            yield from (path for one in value if isinstance(one, Mapping) for path in named_files(one, endings))
        elif isinstance(value, Path) and name.endswith(endings):
            yield value
