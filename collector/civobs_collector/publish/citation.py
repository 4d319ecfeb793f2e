"""Ready-made citations: the observatory, the event, the version, the permanent link, the day it was read."""

from datetime import date

from civobs_collector.publish.published import PublishedEvent, title
from civobs_collector.publish.times import MONTHS
from civobs_collector.publish.words import PUBLISHER


def citation(event: PublishedEvent, accessed: date | None = None) -> str:
    """Write the citation of one version. Without a day it names none, so that a frozen page never changes."""
    published = event.published_at
    text = (
        f'{PUBLISHER} ({published.year}). "{title(event)}", event {event.public_id}, version {event.version}, '
        f"{published:%Y-%m-%d}. {event.permalink}."
    )
    if accessed is not None:
        text += f" Accessed {accessed.day} {MONTHS[accessed.month - 1]} {accessed.year}."
    return f"{text} CC BY 4.0."
