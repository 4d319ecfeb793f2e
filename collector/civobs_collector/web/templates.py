"""The Jinja environment: everything escaped, an unknown name an error, times as ``<time>`` elements."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from civobs_collector.publish import times
from civobs_collector.publish.times import LocalClock
from civobs_collector.publish.words import LICENCE_NAME, LICENCE_URL, PUBLISHER


def time_element(moment: datetime, local: LocalClock | None = None) -> Markup:
    """Write a time for people and machines; with local time in brackets when a country's clock is given."""
    text = times.full_text(moment, local) if local else times.utc_text(moment)
    return _element(moment, text)


def time_exact(moment: datetime) -> Markup:
    """Write a time to the second, for tables: ``22 Nov 05:09:30``."""
    return _element(moment, f"{moment.day} {_month(moment)} {moment:%H:%M:%S}")


def time_dated(moment: datetime, known: int | None = None) -> Markup:
    """The same with the year, unless it is the one that is ``known`` to the reader: ``22 Nov 2026 05:09:30``."""
    if moment.year == known:
        return time_exact(moment)
    return _element(moment, f"{moment.day} {_month(moment)} {moment:%Y %H:%M:%S}")


def _month(moment: datetime) -> str:
    return times.MONTHS[moment.month - 1][:3]


def _element(moment: datetime, text: str) -> Markup:
    """Both parts are this program's own digits and words: a page has hundreds of times, and escaping takes longest."""
    return Markup(f'<time datetime="{times.iso(moment)}">{text}</time>')  # noqa: S704


def host(address: str) -> str:
    """Name the site that a source is of."""
    return urlsplit(address).hostname or address


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("civobs_collector.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        at=time_element,
        exact=time_exact,
        dated=time_dated,
        duration=times.duration,
        ago=times.ago,
        listing=times.listing,
        iso=times.iso,
        host=host,
    )
    environment.globals.update(publisher=PUBLISHER, licence_name=LICENCE_NAME, licence_url=LICENCE_URL)
    environment.globals["counted"] = times.count
    return environment


_ENVIRONMENT = _environment()
_TEMPLATES = {name: _ENVIRONMENT.get_template(name) for name in _ENVIRONMENT.list_templates(extensions=("html", "xml"))}
"""Compiled before the first reader comes."""


def render(template: str, values: Mapping[str, object]) -> str:
    """Render a page."""
    return _TEMPLATES[template].render(values)
