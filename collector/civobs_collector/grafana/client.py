"""One Grafana: its API by grafana-client, and what can go wrong with it as a cause and a remedy.

Written for Grafana 12 and 13 (read against the sources up to 13.3); older ones than ``OLDEST`` are refused.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from grafana_client.api import GrafanaApi
from grafana_client.client import (
    GrafanaClientError,
    GrafanaException,
    GrafanaServerError,
    GrafanaTimeoutError,
    GrafanaUnauthorizedError,
)
from niquests.exceptions import JSONDecodeError, RequestException

from civobs_collector.errors import ConfigError, GrafanaError
from civobs_collector.grafana.settings import GrafanaSettings
from civobs_collector.keys import read_secret

OLDEST = (11, 0)
"""Before it no rule could keep its last state while the database is away."""
Json = dict[str, Any]

_ADMIN = "make a service account of role Admin (Administration, Service accounts) and write its token to the file"
_REFUSED = "Grafana's own log has the details; a thing that came from a provisioning file can be changed there only"


class Grafana:
    """A Grafana that answers and is new enough; leave it as a context. Raises ConfigError and GrafanaError."""

    def __init__(self, settings: GrafanaSettings) -> None:
        if settings.url is None or settings.token_file is None:
            missing = "url" if settings.url is None else "token_file"
            raise ConfigError(f"[grafana] {missing} is not set", "docs/operating/alerts.md says how to set up both")
        # It logs addresses and answers on its own; what went wrong is said once, by the command.
        logging.getLogger("grafana_client").setLevel(logging.CRITICAL)
        self.settings = settings
        self.api = GrafanaApi.from_url(
            f"{settings.url.rstrip('/')}/", read_secret(settings.token_file), timeout=settings.timeout_s
        )
        try:
            self.version = self._version()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self.api.client.s.close()

    def _version(self) -> str:
        said = self.ask(self.api.client.GET, "/frontend/settings")
        version = said.get("buildInfo", {}).get("version") if isinstance(said, dict) else None
        if not version:
            raise GrafanaError(f"{self.settings.url} answers, but not as Grafana does", "correct [grafana] url")
        numbers = tuple(int(part) for part in str(version).partition("-")[0].split(".")[:2] if part.isdigit())
        if numbers < OLDEST:
            raise GrafanaError(
                f"Grafana {version} is too old", f"use {OLDEST[0]}.{OLDEST[1]} or newer; 12 and 13 are what this is for"
            )
        return str(version)

    def ask(self, call: Callable[..., Any], *args: object, **kwargs: object) -> Any:
        """Call the API. Raises GrafanaError."""
        with _errors(self.settings):
            return call(*args, **kwargs)

    def find(self, call: Callable[..., Json], *args: object) -> Json | None:
        """The same, for what may not be there. Raises GrafanaError."""
        with _errors(self.settings):
            try:
                return call(*args)
            except GrafanaClientError as error:
                if error.status_code == 404:
                    return None
                raise


@contextmanager
def _errors(settings: GrafanaSettings) -> Iterator[None]:
    """Errors of client and network, as a cause and a remedy."""
    try:
        yield
    except GrafanaUnauthorizedError:
        raise GrafanaError(f"Grafana does not accept the token in {settings.token_file}", _ADMIN) from None
    except GrafanaTimeoutError:
        raise GrafanaError(
            f"{settings.url} did not answer in time", "raise timeout_s in [grafana], or ask why"
        ) from None
    except GrafanaServerError as error:
        raise GrafanaError(
            f"Grafana failed: {_said(error)}", "its log has the cause; nothing else was changed"
        ) from None
    except GrafanaClientError as error:
        if error.status_code == 403:
            raise GrafanaError(f"the token may not do that: {_said(error)}", _ADMIN) from None
        raise GrafanaError(f"Grafana refused: {_said(error)}", _REFUSED) from None
    except JSONDecodeError:
        raise GrafanaError(f"{settings.url} answers, but not as Grafana does", "correct [grafana] url") from None
    except (RequestException, GrafanaException, OSError) as error:
        words = str(error).partition("\n")[0] or type(error).__name__
        raise GrafanaError(f"cannot reach {settings.url}: {words}", "start Grafana, or correct [grafana] url") from None


def _said(error: GrafanaException) -> str:
    """Grafana's own words, in one line."""
    answer = error.response
    words = answer.get("message") if isinstance(answer, dict) else None
    return str(words or error.message).strip().partition("\n")[0][:200]
