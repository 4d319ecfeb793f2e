"""Makes the stages of one target's rows for the picture: names, addresses, page, QUIC."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from civobs_agent.picture import Section, Step
from civobs_agent.words import answer, failed_words, not_asked, size
from civobs_wire.failure import Failure, Outcome
from civobs_wire.measurement import AnyMeasurement, Dns, Http, HttpStage, Quic, Tcp, Tls, TlsStage

NAMED = {"target": "its own name", "neutral": "neutral name", "none": "no name"}


def sections(rows: Sequence[AnyMeasurement]) -> list[Section]:
    """Every stage of every row, in the order in which they were asked; a family the device lacks is told once."""
    here = [row for row in rows if row.failure is not Failure.FAMILY_ABSENT]
    absent = sorted({row.family for row in rows if row.failure is Failure.FAMILY_ABSENT} - {0})
    made = [
        *_names([row for row in here if isinstance(row, Dns)]),
        *_addresses([row for row in here if isinstance(row, Tcp | Tls)]),
        *(_page(row) for row in here if isinstance(row, Http)),
        *_quic([row for row in here if isinstance(row, Quic)]),
    ]
    return made + [Section(f"IPv{family}", not_asked(Failure.FAMILY_ABSENT), ()) for family in absent]


def _names(rows: Sequence[Dns]) -> Iterator[Section]:
    """A line for each resolver and record; an answer by TCP has one of its own where it is another than by UDP."""
    if not rows:
        return
    steps = []
    for _, group in groupby(sorted(rows, key=_who), key=_who):
        first, *others = group
        same = [row for row in others if _said(row) == _said(first)]
        steps.append(_question(first, ", TCP too" if same else ""))
        steps += [_question(row, " by TCP") for row in others if row not in same]
    yield Section("Name", f"{rows[0].qname}, as each resolver told it", steps)


def _who(row: Dns) -> tuple[bool, str, str]:
    return not row.resolver.startswith("resolver"), row.resolver, row.qtype


def _said(row: Dns) -> tuple[object, ...]:
    return row.outcome, row.failure, row.answers


def _question(row: Dns, how: str) -> Step:
    said = ", ".join(map(answer, row.answers))
    if row.outcome is not Outcome.OK:
        said = said or _ending(row)
    if row.others:
        said += f", {len(row.others)} more came"
    took_ms = None if row.outcome is Outcome.NOT_RUN else row.duration_ms
    return Step(label=f"{row.resolver} {row.qtype}", took_ms=took_ms, failed=_failed(row), text=said + how)


def _addresses(rows: Sequence[Tcp | Tls]) -> Iterator[Section]:
    """One for each address, connects and handshakes together; one for a family that has none."""
    in_order = sorted(rows, key=_where)
    for (family, address), group in groupby(in_order, key=lambda row: (row.family, row.address)):
        of_one = list(group)
        if address is None:
            yield Section(f"Address over IPv{family}", _ending(of_one[0]), ())
            continue
        resolvers = next((row.resolvers for row in of_one if row.resolvers), ())
        told = f"{address} port {of_one[0].port}" + (f", from {', '.join(resolvers)}" if resolvers else "")
        yield Section(f"Address over IPv{family}", told, [_connect(row) for row in of_one])


def _where(row: Tcp | Tls) -> tuple[int, str, int]:
    return row.family, row.address or "", list(NAMED).index(row.named) + 1 if isinstance(row, Tls) else 0


def _connect(row: Tcp | Tls) -> Step:
    if isinstance(row, Tcp):
        took_ms = None if row.outcome is Outcome.NOT_RUN else row.duration_ms
        text = "connected" if row.outcome is Outcome.OK else _ending(row)
        return Step(label="connect", took_ms=took_ms, failed=_failed(row), text=text)
    label = f"TLS, {NAMED[row.named]}"
    if row.outcome is Outcome.NOT_RUN:
        return Step(label=label, text=_ending(row))
    if row.stage is TlsStage.CONNECT:
        return Step(label=label, took_ms=row.connect_ms or row.duration_ms, failed=True, text=_ending(row))
    return Step(
        label=label,
        before_ms=row.connect_ms or 0.0,
        took_ms=row.handshake_ms or max(0.0, row.duration_ms - (row.connect_ms or 0.0)),
        failed=_failed(row),
        text=_certificate(row),
    )


def _certificate(row: Tls) -> str:
    """What a handshake showed: whether it verified, and what came."""
    if row.outcome is Outcome.FAILED and row.stage is not TlsStage.VERIFY:
        return _ending(row) + (f", alert {row.alert}" if row.alert else "")
    owner = row.chain[0].subject if row.chain else "unknown"
    if row.outcome is Outcome.FAILED:
        return f"{failed_words(row.failure)}: {owner}"
    if row.covers is False:
        return f"certificate of {owner}"
    if row.stage is not TlsStage.DONE or row.root is None:
        return f"certificate of {owner}, not verified"
    return f"verified, {row.root}"


_PAGE_STAGES: tuple[tuple[str, frozenset[HttpStage]], ...] = (
    ("name", frozenset({HttpStage.RESOLVE})),
    ("connect", frozenset({HttpStage.CONNECT})),
    ("TLS", frozenset({HttpStage.TLS})),
    ("first byte", frozenset({HttpStage.REQUEST, HttpStage.HEADERS})),
    ("body", frozenset({HttpStage.BODY})),
)


def _page(row: Http) -> Section:
    """The stages of the last hop, one after the other; those that were not reached are left out."""
    title = f"Page over IPv{row.family}" if row.family else "Page"
    if row.outcome is Outcome.NOT_RUN and not row.redirects:
        return Section(title, _ending(row), ())
    steps = [Step(label="redirected", text=f"to {where}") for where in row.redirects]
    body_ms = None if row.body_ms is None else row.body_ms - (row.first_byte_ms or 0.0)
    times = (row.resolve_ms, row.connect_ms, row.tls_ms, row.first_byte_ms, body_ms)
    texts = ("", "", "verified" if row.verified else "", _head(row), _body(row))
    before_ms = 0.0
    for (label, stages), took_ms, text in zip(_PAGE_STAGES, times, texts, strict=True):
        if row.stage in stages and row.outcome is not Outcome.OK:
            rest_ms = None if row.redirects else max(0.0, row.duration_ms - before_ms)
            told = f"{text}{', ' if text else ''}{_ending(row)}"
            steps.append(Step(label=label, before_ms=before_ms, took_ms=rest_ms, failed=True, text=told))
            break
        if took_ms is not None:
            steps.append(Step(label=label, before_ms=before_ms, took_ms=took_ms, text=text))
            before_ms += took_ms
    return Section(title, row.address or "", steps)


def _head(row: Http) -> str:
    if row.status is None:
        return ""
    server = next((f" from {header.value}" for header in row.headers if header.name == "server"), "")
    return f"status {row.status}{server}"


def _body(row: Http) -> str:
    if row.body_bytes is None:
        return ""
    more = ", more not read" if row.body_cut else ""
    return f"{size(row.body_bytes)}{more}{f', “{row.title}”' if row.title else ''}"


def _quic(rows: Sequence[Quic]) -> Iterator[Section]:
    for (family, address), group in groupby(rows, key=lambda row: (row.family, row.address)):
        of_one = list(group)
        title = f"QUIC over IPv{family}" if family else "QUIC"
        if address is None:
            yield Section(title, _ending(of_one[0]), ())
            continue
        yield Section(title, f"{address} port {of_one[0].port}", [step for row in of_one for step in _steps_of(row)])


def _steps_of(row: Quic) -> Iterator[Step]:
    label = f"QUIC, {NAMED[row.named]}"
    verified = {None: "came about", True: "verified", False: "not verified"}[row.verified]
    text = verified if row.outcome is Outcome.OK else _ending(row)
    if row.status is not None:
        text += f", status {row.status}"
    took_ms = row.handshake_ms or (None if row.outcome is Outcome.NOT_RUN else row.duration_ms)
    yield Step(label=label, took_ms=took_ms, failed=_failed(row), text=text)
    if row.udp_answered is not None and row.named == "target":
        answered = "answers" if row.udp_answered else "no answer"
        yield Step(label="UDP, no name", took_ms=row.udp_ms, failed=not row.udp_answered, text=answered)
    if row.tcp_ms is not None or row.tcp_failure is not None:
        came = "came about" if row.tcp_failure is None else failed_words(row.tcp_failure)
        yield Step(
            label="TLS over TCP",
            took_ms=row.tcp_ms,
            failed=row.tcp_failure is not None,
            text=f"at the same time: {came}",
        )


def _failed(row: AnyMeasurement) -> bool:
    return row.outcome is Outcome.FAILED


def _ending(row: AnyMeasurement) -> str:
    return not_asked(row.failure) if row.outcome is Outcome.NOT_RUN else failed_words(row.failure)
