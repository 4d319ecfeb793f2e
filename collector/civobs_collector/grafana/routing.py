"""Who is told of what: the contact point and the part of the notification policy that is ours.

Of one event there is one group, whatever rules tell of it; what concerns the observatory itself is grouped by rule.
"""

from typing import Any

from civobs_collector.grafana.rules import MARK

CONTACT_POINT = "civobs-staff"
MAIL_UID, WEBHOOK_UID = "civobs-staff-mail", "civobs-staff-webhook"
OURS = [label for pair in MARK.items() for label in (pair[0], "=", pair[1])]
"""The matcher by which our route is known."""


def receivers(mail: str | None, webhook: str | None) -> list[dict[str, Any]]:
    """The receivers of the contact point; ``mail`` is one address or several with semicolons between them."""
    found: list[dict[str, Any]] = []
    if mail:
        settings: dict[str, Any] = {"addresses": mail, "singleEmail": True}
        found.append({"uid": MAIL_UID, "type": "email", "settings": settings, "disableResolveMessage": False})
    if webhook:
        settings = {"url": webhook, "httpMethod": "POST"}
        found.append({"uid": WEBHOOK_UID, "type": "webhook", "settings": settings, "disableResolveMessage": False})
    return found


def route() -> dict[str, Any]:
    """Our part of the tree of policies."""
    return {
        "receiver": CONTACT_POINT,
        "object_matchers": [OURS],
        "group_by": ["rule"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "12h",
        "routes": [
            {
                "receiver": CONTACT_POINT,
                "object_matchers": [["event", "=~", ".+"]],
                "group_by": ["event"],
                "group_wait": "30s",
                "group_interval": "5m",
                # Told once: Grafana forgets after five days that it has.
                "repeat_interval": "4d",
            }
        ],
    }
