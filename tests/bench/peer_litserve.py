"""The peer of LitServe: `python -m tests.bench.peer_litserve PORT` with QF_MODEL_DIR; one worker, as it comes.

No postponed annotations here: LitServe hands them to FastAPI as they stand.
"""

import sys

from litserve import LitAPI, LitServer

from tests.bench.peers import Answer, Form, single


class Scorer(LitAPI):  # pylint: disable=abstract-method  # LitServe fills in the two for its loops
    """One applicant in, one answer out, on a single frame."""

    def setup(self, device: str) -> None:
        """Nothing: `peers` has loaded the model."""

    def decode_request(self, request: Form) -> Form:  # pylint: disable=arguments-differ  # no context
        """The contract, as FastAPI has read it."""
        return request

    def predict(self, x: Form) -> Answer:  # pylint: disable=arguments-differ  # no context
        """The answer."""
        return single(x)

    def encode_response(self, output: Answer) -> Answer:  # pylint: disable=arguments-differ  # no context
        """As it is: FastAPI writes it."""
        return output


def main() -> None:
    """Serve until ended."""
    server = LitServer(Scorer(api_path="/v1/score"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
