"""Whether an HTTP answer is a page of blocking: by a fingerprint, or by what it says where nobody knows it yet.

A match with a fingerprint is an artefact: somebody has seen that very page before. Without one the words of the page,
where it leads and how small it is are weighed; that is never more than likely. A vague fingerprint ("Access Denied")
is one more word to weigh. Ordinary errors, challenges of delivery networks, parked domains, portals and logins weigh
against, and so does every known false positive. Pure: the same answer and the same fingerprints give the same match.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import re2

from civobs_collector.detect.fingerprints import Fingerprint, Fingerprints, Role, answer, words_of
from civobs_collector.detect.page_text import (
    Page,
    host_of,
    is_private,
    mended,
    normalised,
    parameters,
    places,
    read_page,
    same_site,
)
from civobs_collector.detect.page_words import expressions, found, vocabulary
from civobs_collector.detect.params import Params

_POLICY_PARAMETERS = frozenset(
    [
        "policy",
        "policyname",
        "policyid",
        "policytype",
        "polid",
        "dpruleid",
        "dpid",
        "ruleid",
        "rule_id",
        "blockedurl",
        "blockurl",
        "blockreason",
        "blocked",
        "blockid",
        "groupname",
        "usergroup",
        "group_name",
    ]
)
_TARGET_PARAMETERS = frozenset(
    [
        "url",
        "host",
        "domain",
        "site",
        "cat",
        "category",
        "categories",
        "type",
        "reason",
        "rule",
        "keyword",
        "userip",
        "ip",
    ]
)
"""Names of parameters by which filters tell their own page why, and what was asked for."""
_TELLING = frozenset({"server", "via", "x-squid-error", "x-powered-by", "proxy-agent", "blocked-by"})
"""Fields in which a program names itself."""
_COMMON = ("weak", "prohibited", "server", "vendor", "portal", "category", "others")
"""Lists of words that say little by themselves."""
_DEFAULTS = Params()


_OFFICES = frozenset({"gov", "gob", "gouv", "gub", "govt", "gv", "go", "mil", "police", "politie", "polizei"})


class Certainty(StrEnum):
    """How sure a match is."""

    ARTEFACT = "artefact"
    LIKELY = "likely"


@dataclass(frozen=True, slots=True)
class Match:
    """A page of blocking."""

    certainty: Certainty
    fingerprint: Fingerprint | None
    """The first of those that match; None where the classifier alone says so."""
    score: float
    """Points of the classifier; ``page.bar`` of the parameters is where it begins to say so."""
    reasons: tuple[str, ...]
    """Ids of the parameters that weighed, and ids of matching fingerprints as ``fingerprint:SOURCE/ID``."""

    @property
    def by(self) -> str:
        """``fingerprint`` or ``classifier``."""
        return "classifier" if self.fingerprint is None else "fingerprint"


@dataclass(frozen=True, slots=True)
class Weighed:
    """What was found in an answer, whether it is enough or not."""

    match: Match | None
    score: float
    reasons: tuple[str, ...]
    innocent: tuple[Fingerprint, ...]
    """Known false positives that match."""


def weigh(  # noqa: PLR0913 # an answer has as many parts
    status: int | None,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    title: str | None,
    sample: str | None,
    location: str | None,
    fingerprints: Fingerprints,
    *,
    asked: str | None = None,
    verified: bool | None = None,
    params: Params = _DEFAULTS,
) -> Weighed:
    """What was found in one answer; ``match`` is None where it is no page of blocking as far as can be told.

    ``location`` is where a redirect led, ``asked`` the URL that was asked for, ``verified`` whether the last hop's TLS
    was: what a site says itself over verified TLS is its own word, whatever it says.
    """
    fields = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    home = host_of(asked) if asked else ""
    if verified and (not location or same_site(host_of(location) or home, home)):
        return Weighed(None, 0.0, ("page.own_word",), ())
    content_type = next((value for name, value in fields if name.lower() == "content-type"), "")
    title, sample = (text and mended(text, sample or "", content_type) for text in (title, sample))
    page = read_page(title, sample, location)
    matching = fingerprints.matches(answer(fields, title, sample, location))
    innocent = tuple(one for one in matching if one.role is Role.INNOCENT)
    exact = [one for one in matching if one.role is Role.BLOCK and not is_vague(one, params)]
    vague = [one for one in matching if one.role is Role.BLOCK and is_vague(one, params)]
    points = _points(page, status, fields, home, params)
    points |= _of_vague(vague)
    sure = [one for one in innocent if not is_vague(one, params)]
    if innocent:
        points.add("page.false_positive" if sure else "page.false_positive_vague")
    reasons = tuple(sorted(points))
    score = round(sum(params[one] for one in reasons), 6)
    named = tuple(f"fingerprint:{one.source}/{one.id}" for one in (*exact, *vague))
    match = None
    if exact:
        certainty = Certainty.LIKELY if sure else Certainty.ARTEFACT
        match = Match(certainty, exact[0], score, named + reasons)
    elif score >= params["page.bar"]:
        match = Match(Certainty.LIKELY, vague[0] if vague else None, score, named + reasons)
    return Weighed(match, score, named + reasons, innocent)


def is_vague(one: Fingerprint, params: Params = _DEFAULTS) -> bool:
    """Whether a fingerprint asks for no more than words that any server may say."""
    if one.scope == "lab":
        return False
    if one.confidence is not None and one.confidence <= params["fingerprint.unsure"]:
        return True
    if "." in one.pattern and re2.search(r"\w\\?\.\w", one.pattern):
        return False  # an address or a host's name is nobody else's
    general = one.scope in {"vbw", "unk"}
    return len(" ".join(words_of(one).split())) < params["fingerprint.general" if general else "fingerprint.short"]


def _of_vague(vague: Iterable[Fingerprint]) -> set[str]:
    """A vague fingerprint says as much as its words do: least where they are those of any server."""
    texts = [words_of(one) for one in vague]
    strong = [text for text in texts if found("strong", text) or not any(found(name, text) for name in _COMMON)]
    if strong:
        return {"page.vague"}
    return {"page.vague_weak"} if texts else set()


def _points(page: Page, status: int | None, fields: tuple[tuple[str, str], ...], home: str, params: Params) -> set[str]:
    """Ids of all that weighs."""
    head = normalised(" ".join(value for name, value in fields if name.lower() in _TELLING))
    return {
        *_of_statement(page, params),
        *_of_words(page, head),
        *_of_places(page, home, params),
        *_of_form(page, status, params),
        *_of_innocence(page),
    }


def _of_statement(page: Page, params: Params) -> Iterable[str]:
    """That the page says: this site is blocked."""
    near = params.count("page.near")
    strong = page.n_visible <= params["page.large_above"] and found("strong", page.title)
    brief = any(found("strong", one) and len(one) < params["page.brief"] for one in (page.title, page.text))
    if brief or _about(page.text, "strong", near) or "nouns" in _about(page.text, "prohibited", near):
        yield "page.strong"
    elif _about(page.text, "prohibited", near):
        yield "page.prohibited"
    elif _about(page.text, "weak", near):
        yield "page.weak"
    if strong:
        yield "page.title"


def _of_words(page: Page, head: str) -> Iterable[str]:
    """Who is named: courts, lists, categories, programs."""
    authorities = found("authority", page.text)
    if authorities:
        yield "page.authority"
    if len(authorities) > 1:
        yield "page.authorities"
    for name in ("programmes", "category", "visitor", "appeal"):
        if found(name, page.text):
            yield f"page.{name}"
    if found("products", page.text) or found("products", head):
        yield "page.products"


def _of_places(page: Page, home: str, params: Params) -> Iterable[str]:
    """Where the page leads, and to whom it links."""
    abroad = [one for one in page.leads if not home or not same_site(host_of(one) or home, home)]
    if any(_speaking(one) for one in abroad):
        yield "page.lead"
    elif page.n_visible < params["page.small_below"] and any(_speaking(one) for one in page.links):
        yield "page.link"
    if any(_is_public_office(host_of(one)) for one in abroad) and not _is_public_office(home):
        yield "page.office" if home else "page.office_maybe"
    if any(is_private(one) for one in abroad):
        yield "page.private"
    if any(_told(parameters(one)) for one in abroad):
        yield "page.told"
    if home and any(same_site(host_of(one), home) for one in page.links):
        yield "page.home"


def _of_form(page: Page, status: int | None, params: Params) -> Iterable[str]:
    if page.n_visible < params["page.small_below"]:
        yield "page.small"
        if page.n_visible < params["page.tiny_below"]:
            yield "page.tiny"
    else:
        yield "page.large" if page.n_visible > params["page.large_above"] else "page.medium"
    if page.is_article:
        yield "page.article"
    if status == 451:
        yield "page.451"
    elif status is not None and (status == 404 or status >= 500):
        yield "page.error_status"


def _of_innocence(page: Page) -> Iterable[str]:
    for name in ("server", "vendor", "parked", "portal", "site"):
        if signs := found(name, page.text):
            yield f"page.{name}"
            if len(signs) > 1:
                yield f"page.{name}s"


def _told(names: frozenset[str]) -> bool:
    """At least one that only filters have, and another."""
    return bool(names & _POLICY_PARAMETERS) and len(names & (_POLICY_PARAMETERS | _TARGET_PARAMETERS)) > 1


def _is_public_office(host: str) -> bool:
    """A government's host: ``gov``, or ``gov.CC`` and its like."""
    return any(label in _OFFICES for label in host.split(".")[-2:])


def _speaking(address: str) -> bool:
    return not places(address).isdisjoint(vocabulary()["places"])


def _about(text: str, name: str, most: int) -> set[str]:
    """What words of a list are about, a site (``nouns``) or the access to it: the nearest of what may be blocked."""
    marks = sorted(
        (one.start(), which)
        for which in ("nouns", "access", "others", name)
        for one in expressions()[which].finditer(text)
    )
    before = _last_other(marks, name)
    after = reversed(_last_other([(-at, which) for at, which in reversed(marks)], name))
    nearest = (min(filter(None, near), default=None) for near in zip(before, after, strict=True))
    return {one[1] for one in nearest if one is not None and one[0] <= most and one[1] != "others"}


def _last_other(marks: Iterable[tuple[int, str]], name: str) -> list[tuple[int, str] | None]:
    """For each mark of a list how far before it the last one of another list stands, and of which."""
    gaps: list[tuple[int, str] | None] = []
    last: tuple[int, str] | None = None
    for at, which in marks:
        if which != name:
            last = (at, which)
        else:
            gaps.append((at - last[0], last[1]) if last else None)
    return gaps
