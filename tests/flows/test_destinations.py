"""A block's address leads out of the network, or is not called."""

from __future__ import annotations

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock, MattermostWebhook
from pydantic import BaseModel, SecretStr, ValidationError

from flows.destinations import DestinationRefused, require_outside
from flows.mail import Mail
from flows.settings import FlowSettings
from service.addresses import networks

OUTSIDE = "https://93.184.215.14/hook"


def webhook(url: str) -> CustomWebhookNotificationBlock:
    """A block that posts to this address."""
    return CustomWebhookNotificationBlock(
        name="risk", url=url, json_data={"text": "{{body}}"}, secrets={"host": "127.0.0.1"}
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4200/api/deployments/",
        "http://localhost/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.0.0.8/",
        "http://2130706433/",
        "http://user:word@127.0.0.1/",
        "https://{{host}}/hook",
        "http:///nobody",
        "http://[::1/",
    ],
)
def test_an_address_within_is_refused(url: str) -> None:
    """Loopback, metadata and private networks in any dress, and what nobody can tell beforehand; it is not repeated."""
    with pytest.raises(DestinationRefused) as refused:
        require_outside(webhook(url), ())
    assert url not in str(refused.value)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise looks whether it is there
def test_every_kind_of_block_is_looked_at() -> None:
    """A mail server in the address or among its parameters; a host in a field of its own."""
    for block in (
        Mail(url=SecretStr("mailto://127.0.0.1:25?from=a@example.com&to=b@example.com")),
        Mail(url=SecretStr("mailtos://ana:word@93.184.215.14?smtp=10.1.2.3&to=b@example.com")),
        MattermostWebhook(hostname="10.1.2.3", token=SecretStr("token")),
    ):
        with pytest.raises(DestinationRefused):
            require_outside(block, ())
        require_outside(block, networks("127.0.0.0/8, 10.0.0.0/8"))


def test_what_leads_out_is_called_by_the_very_address_that_was_looked_at() -> None:
    """Prefect's own pinning is on where nothing inside is allowed."""
    block = webhook(OUTSIDE)
    require_outside(block, ())
    assert block.allow_private_urls is False

    class Plain(BaseModel):
        """A block without an address: it has nowhere to lead."""

        token: str = "t"

    require_outside(Plain(), ())


def test_networks_that_are_none_stop_a_worker() -> None:
    """Before it runs anything."""
    with pytest.raises(ValidationError):
        FlowSettings(notify_networks="everywhere")
