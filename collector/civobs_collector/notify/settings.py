"""The tables ``[notify]`` and ``[mail]`` of the settings: who is told of events, how, and how long it is tried."""

from datetime import time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import Field, HttpUrl, field_validator, model_validator

from civobs_collector.section import Section


def _is_this_machine(host: str) -> bool:
    """Whether a host is named as this machine itself, without asking anybody."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class MailSettings(Section):
    """How e-mail leaves."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    tls: Literal["none", "starttls", "tls"] = "none"
    """``starttls`` asks for it and sends nothing without it. ``none`` only to this very machine."""
    tls_ca: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    sender: str = "civobs@localhost"

    @model_validator(mode="after")
    def _nothing_in_the_clear(self) -> Self:
        if self.tls == "none" and not _is_this_machine(self.host):
            raise ValueError('mail to another machine is not sent in the clear: set tls = "starttls" or "tls"')
        return self


class SubscriberSettings(Section):
    """Somebody who is told of events, by a webhook or by e-mail."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    webhook: Annotated[HttpUrl | None, Field(repr=False)] = None
    """https, or http to this very machine. Who writes the settings may name an address of an inner network."""
    secret_file: Path | None = None
    """``whsec_`` and the secret in base64, as the receiver has it."""
    mail: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_.%+'-]+@[A-Za-z0-9.-]+$", repr=False)] = None
    countries: tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...] = ()
    """Empty: all."""
    least_level: Literal["network", "region", "country"] = "network"
    least_confidence: Literal["unconfirmed", "probable", "confirmed"] = "unconfirmed"
    quiet_from: time | None = None
    quiet_until: time | None = None
    time_zone: str = "UTC"
    """Of the quiet hours."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook is None) is (self.mail is None):
            raise ValueError(f"subscriber {self.name} needs a webhook or a mail address, and not both")
        if self.webhook is not None:
            if self.secret_file is None:
                raise ValueError(f"the webhook of {self.name} needs a secret_file: without one anybody could forge it")
            if self.webhook.username or self.webhook.password:
                raise ValueError(f"the webhook of {self.name} must hold no password: it would be shown and logged")
            if self.webhook.scheme != "https" and not _is_this_machine(self.webhook.host or ""):
                raise ValueError(f"the webhook of {self.name} must begin with https://")
        return self

    @model_validator(mode="after")
    def _hours_and_zone(self) -> Self:
        if (self.quiet_from is None) is not (self.quiet_until is None) or (
            self.quiet_from is not None and self.quiet_from == self.quiet_until
        ):
            raise ValueError(f"subscriber {self.name}: quiet hours need a beginning and another end")
        if self.time_zone not in available_timezones():
            raise ValueError(f"subscriber {self.name}: no such time zone: {self.time_zone}")
        return self


class NotifySettings(Section):
    """Who is told of events, and how long it is tried."""

    every_s: Annotated[float, Field(gt=0)] = 5.0
    """How often is looked for what is new."""
    timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """For one message."""
    retry_s: tuple[Annotated[float, Field(gt=0)], ...] = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
    """The pause after each attempt that failed; after the last one the message is given up. The default is that of the
    Standard Webhooks specification, together three days."""
    digest_from: Annotated[int, Field(ge=1)] = 20
    """More messages than this in an hour to one subscriber become one message of many events."""
    digest_every_s: Annotated[float, Field(ge=0)] = 900.0
    subscribers: tuple[SubscriberSettings, ...] = ()

    @field_validator("subscribers")
    @classmethod
    def _names_once(cls, value: tuple[SubscriberSettings, ...]) -> tuple[SubscriberSettings, ...]:
        names = [one.name for one in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two subscribers are called {twice[0]}")
        return value
