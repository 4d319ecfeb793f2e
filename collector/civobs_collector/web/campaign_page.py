"""The occurrences of one campaign: windows of the same kind that come again in the same place."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from civobs_collector.publish.published import PublishedEvent, over_at, status_words, title
from civobs_collector.publish.times import LocalClock, middle
from civobs_collector.publish.words import CONFIDENCES
from civobs_collector.web.templates import render

MOST_OCCURRENCES = 1000
"""So many are listed, the latest first."""


def campaign_page(campaign: UUID, events: Sequence[PublishedEvent], local: LocalClock) -> str:
    """Render the occurrences, latest first."""
    lengths = [length for event in events if (length := _length(event)) is not None]
    return render(
        "campaign.html",
        {
            "campaign": campaign,
            "newest": events[0],
            "title": title(events[0]),
            "first": events[-1].record.onset.earliest,
            "local": local,
            "shortest": min(lengths, default=None),
            "longest": max(lengths, default=None),
            "events": [
                (
                    event,
                    event.record.campaign.occurrence if event.record.campaign else None,
                    status_words(event.record)[0],
                    CONFIDENCES[event.record.confidence.label][0],
                )
                for event in events
            ],
        },
    )


def _length(event: PublishedEvent) -> timedelta | None:
    end = over_at(event.record)
    return end - middle(event.record.onset) if end else None
