"""What was published last, as an Atom feed (RFC 4287): an entry for each version, under its permanent link."""

import re
from collections.abc import Sequence
from datetime import datetime

from civobs_collector.publish import words
from civobs_collector.publish.published import PublishedEvent, summary, title
from civobs_collector.web.places import local_clock
from civobs_collector.web.templates import render

MOST_ENTRIES = 50
_NOT_XML = re.compile("[^\\t\\n\\r -\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What XML cannot say, not even escaped (XML 1.0, section 2.2)."""


def feed(name: str, path: str, events: Sequence[PublishedEvent], at: datetime, base_url: str) -> str:
    """Render the feed of that name and path; ``at`` stands for its last change where nothing was published yet."""
    text = render(
        "feed.xml",
        {
            "name": name,
            "address": base_url.rstrip("/") + path,
            "updated": events[0].published_at if events else at,
            "entries": [(event, title(event), summary(event, local_clock(event.record.scope.cc))) for event in events],
            "changes": words.CHANGES,
            "reasons": words.REASONS,
        },
    )
    return _NOT_XML.sub("", text)
