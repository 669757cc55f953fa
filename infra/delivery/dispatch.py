"""An approval starts the release: `python -m infra.delivery.dispatch --version N` tells GitHub of a packed version.

For `QF_DEPLOY_COMMAND` of the packaging flow, where the release runs as a workflow: release.yml listens to the event.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

import httpx
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import StackError

EVENT: Final = "model-approved"
TIMEOUT_S: Final = 30.0


class DispatchSettings(BaseSettings):
    """The repository to start the release in, and the token for it."""

    model_config = SettingsConfigDict(env_prefix="QF_GITHUB_", extra="ignore")

    repository: str = Field(default="", pattern=r"^([\w.-]+/[\w.-]+)?$", description="Owner and name.")
    token: SecretStr = Field(default=SecretStr(""), description="A token that may write contents of that repository.")
    api: str = Field(default="https://api.github.com", description="GitHub's API, or an enterprise server's.")


def dispatch(settings: DispatchSettings, version: int) -> None:
    """Emit the event that release.yml starts on.

    Raises:
        StackError: repository or token are missing, or GitHub refuses.
    """
    if not settings.repository or not settings.token.get_secret_value():
        raise StackError("QF_GITHUB_REPOSITORY and QF_GITHUB_TOKEN say which repository's release is started")
    headers = {
        "Authorization": f"Bearer {settings.token.get_secret_value()}",
        "Accept": "application/vnd.github+json",
    }
    body = {"event_type": EVENT, "client_payload": {"version": version}}
    try:
        answer = httpx.post(
            f"{settings.api}/repos/{settings.repository}/dispatches", json=body, headers=headers, timeout=TIMEOUT_S
        )
    except httpx.HTTPError as error:
        raise StackError(f"GitHub does not answer: {type(error).__name__}") from error
    if answer.is_error:
        raise StackError(f"GitHub answers {answer.status_code} to the event for {settings.repository}")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 and one line where the release was not started."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.dispatch", description=__doc__)
    parser.add_argument("--version", type=int, required=True, help="registered version that was approved and packed")
    version = parser.parse_args(arguments).version
    try:
        dispatch(DispatchSettings(), version)
    except StackError as error:
        print(f"dispatch: {error}", file=sys.stderr)
        return 1
    print(f"the release of version {version} is started; it answers once its workflow says so")
    return 0


if __name__ == "__main__":
    sys.exit(main())
