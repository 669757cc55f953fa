"""Who may do what in the object store, outside of the embedded stack: one user a duty, no root for any part.

The policies are plain AWS policy documents, so MinIO, SeaweedFS and S3 itself take them; SeaweedFS reads them with its
users from one file when it starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flows.predictions.data_age import BATCHES
from flows.predictions.erasure import BOILED
from infra.stack.credentials import Credentials
from service.s3 import DATA_BUCKET, MLFLOW_BUCKET, PREDICTIONS_BUCKET, REPORTS_BUCKET

READ: Final = ("s3:GetObject",)
WRITE: Final = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
DELETE: Final = ("s3:DeleteObject",)
LIST: Final = ("s3:ListBucket", "s3:GetBucketLocation")


@dataclass(frozen=True)
class Right:
    """Actions on the objects of a bucket, those whose keys begin with `prefix`, or with `LIST` on the bucket itself."""

    bucket: str
    actions: tuple[str, ...]
    prefix: str = ""

    def statement(self) -> dict[str, Any]:
        """The statement of a policy."""
        resource = f"arn:aws:s3:::{self.bucket}" + ("" if self.actions == LIST else f"/{self.prefix}*")
        return {"Effect": "Allow", "Action": list(self.actions), "Resource": [resource]}


#: user -> rights. Training is `model` and cannot reach `predictions`; drift and recalibration are `watch`: they read
#: answers there and can change none, and keep their digests of days beside. Registration and packaging, `release`, have
#: no user: what they need of the store comes through MLflow.
RIGHTS: Final[Mapping[str, tuple[Right, ...]]] = {
    # It reads answers back that its host no longer keeps; it can neither change an object it put nor delete one.
    "service": (Right(PREDICTIONS_BUCKET, (*READ, "s3:PutObject")), Right(PREDICTIONS_BUCKET, LIST)),
    "mlflow": (Right(MLFLOW_BUCKET, (*READ, *WRITE, *DELETE)), Right(MLFLOW_BUCKET, LIST)),
    # It adds versions of the data and takes none away: what a model was trained on outlives who trained it.
    "model": (Right(DATA_BUCKET, (*READ, *WRITE)), Right(DATA_BUCKET, LIST)),
    # Partners' files and their results; of the training data it sees that they are there.
    "scoring": (Right(DATA_BUCKET, (*READ, *WRITE), BATCHES), Right(DATA_BUCKET, LIST)),
    "watch": (
        Right(PREDICTIONS_BUCKET, READ),
        Right(PREDICTIONS_BUCKET, LIST),
        Right(PREDICTIONS_BUCKET, WRITE, BOILED),
        Right(REPORTS_BUCKET, (*READ, *WRITE)),
        Right(REPORTS_BUCKET, LIST),
    ),
    # Of the training data it sees names and ages alone.
    "retention": (
        *(
            right
            for bucket in (PREDICTIONS_BUCKET, REPORTS_BUCKET)
            for right in (Right(bucket, (*READ, *WRITE, *DELETE)), Right(bucket, LIST))
        ),
        Right(DATA_BUCKET, DELETE),
        Right(DATA_BUCKET, LIST),
    ),
    "ui": (Right(REPORTS_BUCKET, READ),),
}
ADMIN: Final = "admin"  # bootstrap alone
USERS: Final = (ADMIN, *RIGHTS)


def policy(user: str) -> dict[str, Any]:
    """The policy document of a user."""
    return {"Version": "2012-10-17", "Statement": [right.statement() for right in RIGHTS[user]]}


def identities(pairs: Mapping[str, Credentials]) -> str:
    """SeaweedFS's file of users and policies (`-s3.config`), `pairs` holding every user of `USERS`."""

    def identity(user: str) -> dict[str, Any]:
        pair = pairs[user]
        entry = {"name": user, "credentials": [{"accessKey": pair.access_key, "secretKey": pair.secret_key}]}
        # Its administrator is told by actions, everybody else by policy alone.
        return (
            {**entry, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
            if user == ADMIN
            else ({**entry, "policyNames": [user]})
        )

    policies = [{"name": user, "content": json.dumps(policy(user))} for user in RIGHTS]
    return json.dumps({"identities": [identity(user) for user in USERS], "policies": policies}, indent=1)
