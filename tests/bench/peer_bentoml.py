"""The peer of BentoML: `bentoml serve tests.bench.peer_bentoml:Plain` with QF_MODEL_DIR; one worker, as it comes."""

from __future__ import annotations

import bentoml

from tests.bench.peers import Answer, Form, single


@bentoml.service(workers=1)
class Plain:
    """One applicant in, one answer out, on a single frame."""

    @bentoml.api(route="/v1/score")
    def score(self, applicant: Form, /) -> Answer:
        """One applicant's answer."""
        return single(applicant)
