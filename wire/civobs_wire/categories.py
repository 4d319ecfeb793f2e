"""What targets are about, and which consent each category asks for.

The codes are those of the Citizen Lab's test lists (``lists/00-LEGEND-new_category_codes.csv`` of
citizenlab/test-lists), so that their lists can be read as they are and others can read ours; ``AI`` is our own.
Tiers: a household agrees to all targets up to one of them (docs/hosting.md).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Category:
    """One category."""

    code: str
    list_tier: int
    """What a target of this category gets that comes from a list."""
    least_tier: int
    """No target of this category may have a lower one: local law may make it risky to have asked for it."""
    meaning: str


def _mainstream(code: str, meaning: str) -> Category:
    return Category(code, 1, 0, meaning)


def _ordinary(code: str, meaning: str) -> Category:
    return Category(code, 2, 0, meaning)


def _risky(code: str, meaning: str) -> Category:
    return Category(code, 3, 3, meaning)


_ROWS = (
    _mainstream("AI", "services of AI providers (ours: the Citizen Lab has no code for them)"),
    _mainstream("COMM", "shops, trade"),
    _mainstream("COMT", "communication: messengers, calls, mail"),
    _mainstream("CTRL", "control: expected to work everywhere"),
    _mainstream("GRP", "social networks"),
    _mainstream("SRCH", "search engines"),
    _ordinary("CULTR", "culture, encyclopaedias, entertainment"),
    _ordinary("ECON", "economics, poverty"),
    _ordinary("ENV", "environment"),
    _ordinary("FILE", "file sharing"),
    _ordinary("GAME", "games"),
    _ordinary("GOVT", "governments"),
    _ordinary("HACK", "tools of security and hacking"),
    _ordinary("HOST", "hosting, blogs"),
    _ordinary("IGO", "organisations between governments"),
    _ordinary("MISC", "none of the others"),
    _ordinary("MMED", "sharing of pictures, video, music"),
    _ordinary("NEWS", "news media; by hand, a major one may have tier 1"),
    _ordinary("PROV", "provocative attire"),
    _ordinary("PUBH", "public health"),
    _risky("ALDR", "alcohol, drugs"),
    _risky("ANON", "anonymity, circumvention"),
    _risky("DATE", "dating"),
    _risky("GMB", "gambling"),
    _risky("HATE", "hate speech"),
    _risky("HUMR", "human rights"),
    _risky("LGBT", "LGBT+ people"),
    _risky("MILX", "terrorism, militants"),
    _risky("POLR", "political criticism"),
    _risky("PORN", "pornography"),
    _risky("REL", "religion, criticism of it"),
    _risky("XED", "sex education"),
)
CATEGORIES: dict[str, Category] = {row.code: row for row in _ROWS}
