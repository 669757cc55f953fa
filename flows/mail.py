"""E-mail as a Prefect block, over any SMTP server; Prefect's own e-mail block knows one vendor only.

`prefect block register -m flows.mail` puts its form into Prefect's pages; a saved one is named `e-mail/NAME`.
"""

from __future__ import annotations

from prefect.blocks.notifications import AppriseNotificationBlock
from pydantic import Field, SecretStr


class Mail(AppriseNotificationBlock):
    """Sends the summary of a verdict by e-mail."""

    _block_type_name = "E-mail"
    _block_type_slug = "e-mail"

    url: SecretStr = Field(
        title="Server and addresses",
        description="mailtos://USER:PASSWORD@HOST:587?from=SENDER&to=RECEIVER; mailto:// is without encryption.",
    )
