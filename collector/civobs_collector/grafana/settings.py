"""How the collector reaches Grafana, and how Grafana reaches the database."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from civobs_collector.grafana.rules import RUNBOOKS
from civobs_collector.section import Section


class GrafanaSettings(Section):
    """For ``civobs grafana``; a Grafana that reads the provisioning files needs none of it."""

    url: str | None = None
    """As a browser has it, with the path if there is one."""
    token_file: Path | None = None
    """File with the token of a service account that is Admin, mode 0600."""
    timeout_s: Annotated[float, Field(gt=0)] = 20.0
    database_host: str | None = None
    """``host:port`` of the database as Grafana reaches it; left out, the data source has to be there already."""
    database_name: str = "civobs"
    database_user: str = "grafana"
    """A login that is a member of ``civobs_grafana`` and of nothing else."""
    database_password_file: Path | None = None
    database_sslmode: Literal["disable", "require", "verify-ca", "verify-full"] = "require"
    alert_mail: tuple[str, ...] = ()
    """Addresses of the staff."""
    alert_webhook_file: Path | None = None
    """File with the URL that alerts are posted to, mode 0600: whoever knows such a URL can often post there."""
    runbooks_url: str = RUNBOOKS
    """Where the runbooks can be read, up to the last slash."""
