"""Whether somebody else answers for the Internet: a captive portal, a tunnel."""

from typing import Literal

from civobs_wire.row import MeasurementBase
from civobs_wire.scalars import Count2, Name, Sha256, Text


class Portal(MeasurementBase):
    """A page whose content is known, asked for over plain HTTP."""

    kind: Literal["portal"] = "portal"
    url: Text = ""
    address: Name | None = None
    status: Count2 | None = None
    as_expected: bool | None = None
    """Status and body are the known ones; None if no answer came."""
    redirected_to: Name | None = None
    """Host of a redirection, or the id of its range if it is refused."""
    title: Text | None = None
    """Of a page that is not the known one, scrubbed."""
    body_sha256: Sha256 | None = None
    """Of such a page, up to what was read of it."""
    tunnel: bool | None = None
    tunnel_kind: Name | None = None
    """The kind of the default route's interface, such as ``tun`` or ``wireguard``."""
