"""How a service itself says that it does not serve this visitor: a table of rules, the first that fits counts.

It is looked at only where TLS has verified. Then nobody on the way can have said it, and a provider that leaves a
country out is kept apart from a country that cuts the provider off. Ids are stored: never reuse one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

REFUSING = frozenset({400, 401, 403, 404, 406, 410, 451, 503})
"""Statuses with which services refuse. With another one, words about regions may be those of an article."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One way of refusing. All that is given must hold; of several words or parts, any one."""

    id: str
    statuses: frozenset[int] = frozenset()
    """Empty for any."""
    header: tuple[str, str] | None = None
    """A header field and its value."""
    location: tuple[str, ...] = ()
    """Parts of the address a redirection leads to."""
    words: tuple[str, ...] = ()
    """In the beginning of the body, in small letters."""
    source: str

    def fits(self, answer: "Refusable") -> bool:
        """Whether an answer is of this kind."""
        name, value = self.header or ("", "")
        location, text = answer.location.lower(), answer.text
        return (
            (not self.statuses or answer.status in self.statuses)
            and (self.header is None or answer.headers.get(name, "").lower() == value)
            and (not self.location or any(part in location for part in self.location))
            and (not self.words or any(words in text for words in self.words))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusable:
    """What the rules look at."""

    status: int
    location: str
    """Empty where the answer is no redirection."""
    headers: Mapping[str, str]
    text: str
    """The beginning of the body, as ``plain`` makes it."""


RULES: tuple[Rule, ...] = (
    Rule(
        id="cloudflare_challenge",
        header=("cf-mitigated", "challenge"),
        source="developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response: "
        "a proof of being human is asked for, of programs above all; it says nothing of a country",
    ),
    Rule(
        id="anthropic_region",
        location=("app-unavailable-in-region",),
        source="claude.com/app-unavailable-in-region, formerly on www.anthropic.com: where claude.ai leads to",
    ),
    Rule(
        id="openai_region",
        words=("unsupported_country", "openai's services are not available in your"),
        source="platform.openai.com/docs/guides/error-codes: 403, country, region, or territory not supported",
    ),
    Rule(
        id="google_ai_region",
        words=("user location is not supported for the api use", "gemini isn't currently supported in your"),
        source="ai.google.dev/gemini-api/docs/troubleshooting: 400 FAILED_PRECONDITION; words of gemini.google.com",
    ),
    Rule(
        id="cloudflare_country",
        statuses=frozenset({403}),
        words=("error 1009", "error code: 1009", "has banned the country or region your ip address is in"),
        source="developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-1009",
    ),
    Rule(
        id="cloudflare_rule",
        statuses=frozenset({403}),
        words=("error 1020", "error code: 1020", "sorry, you have been blocked"),
        source="developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-1020",
    ),
    Rule(
        id="cloudfront_country",
        statuses=frozenset({403}),
        words=("configured to block access from your country",),
        source="docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/georestrictions: 403; words of its page",
    ),
    Rule(
        id="redirect_region",
        location=(
            "unavailable-in-your",
            "unavailable-in-region",
            "unavailable-in-country",
            "not-available-in-",
            "unsupported-country",
            "unsupported-region",
            "geo-block",
            "geoblock",
        ),
        source="ours: how such pages are called where no vendor documents one",
    ),
    Rule(
        id="words_region",
        statuses=REFUSING,
        words=(
            "available in your country",
            "available in your region",
            "available in your location",
            "supported in your country",
            "supported in your region",
            "access from your country",
        ),
        source="ours: what such pages say where no vendor documents one",
    ),
    Rule(id="status_451", statuses=frozenset({451}), source="RFC 7725: unavailable for legal reasons"),
    Rule(id="status_403", statuses=frozenset({403}), source="RFC 9110 §15.5.4: understood, and refused"),
)


def refusal_of(answer: Refusable) -> str | None:
    """The id of the first rule that fits; None if the service refuses nothing."""
    return next((rule.id for rule in RULES if rule.fits(answer)), None)


def plain(text: str) -> str:
    """Text as the rules have it: small letters, and one kind of apostrophe."""
    text = text.lower()
    for apostrophe in ("\N{RIGHT SINGLE QUOTATION MARK}", "&#39;", "&#x27;", "&apos;", "&rsquo;", "&#8217;"):
        text = text.replace(apostrophe, "'")
    return text
