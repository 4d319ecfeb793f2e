"""Whether what is there is what is wanted. Grafana adds fields of its own: what was not asked for is not compared."""

from typing import Any

HIDDEN = "[REDACTED]"
"""In the place of what Grafana gives to nobody."""


def differences(wanted: Any, there: Any, at: str = "") -> list[str]:
    """Where the second is not what the first says, as paths such as ``labels.severity``."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        return [
            path
            for key, value in wanted.items()
            for path in differences(value, there.get(key), f"{at}.{key}".lstrip("."))
        ]
    if isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        return [
            path
            for number, pair in enumerate(zip(wanted, there, strict=True))
            for path in differences(*pair, f"{at}[{number}]")
        ]
    # What Grafana leaves out of its answer is what it takes for nothing.
    same = there in (wanted, HIDDEN) or not (wanted or there)
    return [] if same else [at]
