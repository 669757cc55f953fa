"""The table of routes: the classes whose methods declare routes, and what is made of them."""

from __future__ import annotations

from functools import cache
from typing import Final

from service.docs.openapi import document
from service.endpoints.jobs import Jobs
from service.endpoints.operations import Operations
from service.endpoints.pages import Pages
from service.endpoints.records import Records
from service.endpoints.scores import ScoreEndpoints
from service.web.routes import Json, Routes, declared, endpoints_of

OWNERS: Final = (ScoreEndpoints, Jobs, Records, Pages, Operations)


DECLARED: Final = declared(*OWNERS)
"""Every route of the service."""


@cache
def description() -> Json:
    """The OpenAPI document of the service."""
    return document(DECLARED)


def routes(scores: ScoreEndpoints, jobs: Jobs, records: Records, pages: Pages, operations: Operations) -> Routes:
    """Every route of the service, answered by these objects."""
    return Routes(endpoints_of(scores, jobs, records, pages, operations))
