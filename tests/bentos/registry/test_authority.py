"""Who writes whatever training can write approves nothing: an approval is a signature by a key that it has not."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from bentos import reviewers
from bentos.errors import ApprovalMissing
from bentos.registry.audit_trail import Trail
from bentos.registry.authority import authorize
from bentos.registry.decision import Decision
from bentos.registry.signing import Reviewers, Statement, new_key, proved, signed
from bentos.registry.version import Version
from bentos.settings import BentosSettings
from tests.signing import EVIDENCE, KEYS, approval, claim_of

VERSION = Version(number=4, run_id="r", digest="a" * 64, package_sha256="b" * 64, tags={"trainer": "bob"})
NOW = datetime(2026, 11, 26, tzinfo=UTC)
LISTED = Reviewers(keys={name: public for name, (_, public) in KEYS.items()})
PLAIN = Decision(version=4, digest="a" * 64, verdict="approve", reviewer="ana", trainer="bob", at=NOW, champion=3)
OVERRIDE = PLAIN.model_copy(
    update={"failed_checks": ("ece",), "override_reason": "pilot", "override_expires": date(2027, 1, 1)}
)


def _forged(**changes: object) -> Decision:
    """An approval whose fields were changed after it was signed."""
    return approval(PLAIN, VERSION).model_copy(update=changes)


def _claimed(name: str, key: str, **changes: object) -> Decision:
    """An approval with a claim of the forger's making."""
    word = signed(claim_of(PLAIN, VERSION, name, **changes), KEYS[key][0] if key in KEYS else new_key()[0])
    return PLAIN.model_copy(update={"signature": word, "reviewer": name})


def test_what_a_reviewer_signed_is_believed() -> None:
    """Alone where nothing failed, by two where something did."""
    authorize(approval(PLAIN, VERSION), VERSION, LISTED)
    authorize(approval(OVERRIDE.model_copy(update={"second_reviewer": "eva"}), VERSION), VERSION, LISTED)


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        pytest.param(lambda: PLAIN, "not signed", id="a-file-and-a-tag-alone"),
        pytest.param(lambda: _claimed("ana", "stranger"), "not ana's", id="a-key-of-the-forgers-own"),
        pytest.param(lambda: _claimed("ana", "bob"), "not ana's", id="the-trainers-own-key"),
        pytest.param(lambda: _claimed("bob", "bob"), "reviewer is the trainer", id="the-trainer-as-reviewer"),
        pytest.param(lambda: _claimed("mallory", "stranger"), "not on the list", id="a-reviewer-made-up"),
        pytest.param(lambda: _claimed("ana", "ana", digest="c" * 64), "other bytes", id="signed-for-other-bytes"),
        pytest.param(lambda: _claimed("ana", "ana", version=3), "another version", id="signed-for-another-version"),
        pytest.param(lambda: _claimed("ana", "ana", champion=1), "another champion", id="another-champion"),
        pytest.param(
            lambda: _claimed("ana", "ana", at=datetime.now(UTC) + timedelta(days=1)),
            "in the future",
            id="from-tomorrow",
        ),
        pytest.param(lambda: _forged(reviewer="eva"), "is signed by ana", id="another-name-beside-it"),
        pytest.param(lambda: _forged(champion=9), "another champion", id="champion-changed"),
        pytest.param(lambda: _forged(failed_checks=("ece",)), "other checks", id="checks-added"),
        pytest.param(
            lambda: approval(OVERRIDE.model_copy(update={"second_reviewer": "eva"}), VERSION).model_copy(
                update={"failed_checks": ()}
            ),
            "other checks",
            id="failed-checks-hidden",
        ),
        pytest.param(
            lambda: approval(OVERRIDE.model_copy(update={"second_reviewer": "ana"}), VERSION),
            "second reviewer is the first",
            id="one-person-twice",
        ),
        pytest.param(
            lambda: approval(OVERRIDE.model_copy(update={"second_reviewer": "bob"}), VERSION),
            "or the trainer",
            id="the-trainer-as-second",
        ),
        pytest.param(
            lambda: approval(OVERRIDE.model_copy(update={"second_reviewer": "eva"}), VERSION).model_copy(
                update={"override_expires": date(2099, 1, 1)}
            ),
            "not the one that was signed",
            id="an-override-for-ever",
        ),
        pytest.param(
            lambda: approval(OVERRIDE.model_copy(update={"second_reviewer": "eva"}), VERSION).model_copy(
                update={"second_signature": ""}
            ),
            "not signed",
            id="no-second-signature",
        ),
        pytest.param(lambda: _forged(signature="x.y"), "no signature of ours", id="nonsense"),
        pytest.param(lambda: _forged(signature="...."), "no signature of ours", id="dots"),
    ],
)
def test_a_forged_approval_is_refused(forge: Callable[[], Decision], says: str) -> None:
    """Every way to write one with the rights of training, and every change to one that was signed."""
    with pytest.raises(ApprovalMissing, match=says):
        authorize(forge(), VERSION, LISTED)


def test_without_a_list_nobody_approves() -> None:
    """A host that was told no reviewers lets nothing out."""
    with pytest.raises(ApprovalMissing, match="not on the list of reviewers"):
        authorize(approval(PLAIN, VERSION), VERSION, Reviewers.read(None))


def test_an_unknown_trainer_stops_it() -> None:
    """Without the trainer's name nobody can be told from the trainer."""
    with pytest.raises(ApprovalMissing, match="nobody knows who trained it"):
        authorize(approval(PLAIN, VERSION), VERSION.model_copy(update={"tags": {}}), LISTED)


def test_a_reviewers_key_from_issue_to_removal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Issued into a file of the person's own, used to sign what the run shows, believed until the person is removed."""
    settings = BentosSettings(state_dir=tmp_path)
    statement = Statement(version=4, digest="a" * 64, package_sha256="b" * 64, champion=3, evidence=EVIDENCE)
    key = reviewers.issue(settings, "ana")

    word = reviewers.sign(statement.model_dump_json(), "ana", key)

    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().splitlines()[1] not in settings.reviewers_file.read_text()
    assert proved(word, Reviewers.read(settings.reviewers_file)).statement == statement
    with pytest.raises(ApprovalMissing, match="looks like reviewer ana"):
        reviewers.issue(settings, "AnA")
    older = word
    reviewers.issue(settings, "ana")  # lost, and made anew
    with pytest.raises(ApprovalMissing, match="not ana's"):
        proved(older, Reviewers.read(settings.reviewers_file))
    reviewers.remove(settings, "ana")
    with pytest.raises(ApprovalMissing, match="not on the list"):
        proved(reviewers.sign(statement.model_dump_json(), "ana", key), Reviewers.read(settings.reviewers_file))
    assert capsys.readouterr().out == ""


def test_where_people_sign_in_the_list_names_their_accounts(tmp_path: Path) -> None:
    """One key an account, told by list, signature and trail alike; a login of the same name is no other person."""
    settings, account = BentosSettings(state_dir=tmp_path), "ana.souza@bank.example"
    version = VERSION.model_copy(update={"tags": {"trainer": "eva@bank.example"}})
    key = reviewers.issue(settings, account)
    listed = Reviewers.read(settings.reviewers_file)
    decision = PLAIN.model_copy(update={"reviewer": account})
    word = signed(claim_of(decision, version, account), key.read_text())

    authorize(decision.model_copy(update={"signature": word}), version, listed)

    assert key.name == f"{account}.key" and list(listed.keys) == [account]
    assert [(line.event, line.actor) for line in Trail(settings.trail_file).entries()] == [("reviewer_key", account)]
    for second in ("ana.souza", "Ana-Souza@bank.example", "\u0430na.souza"):
        with pytest.raises(ApprovalMissing, match="looks like reviewer ana|made of letters"):
            reviewers.issue(settings, second)
    for trainer in ("ana.souza", "ANA.SOUZA@bank.example", "\u0430na.souza@bank.example"):
        theirs = version.model_copy(update={"tags": {"trainer": trainer}})
        with pytest.raises(ApprovalMissing, match="reviewer is the trainer"):
            authorize(decision.model_copy(update={"signature": word}), theirs, listed)


def test_a_login_and_an_account_are_no_two_reviewers() -> None:
    """Even where a list that somebody wrote by hand has both."""
    account = "ana@bank.example"
    listed = Reviewers(keys={**LISTED.keys, account: KEYS["eva"][1]})
    decision = approval(OVERRIDE.model_copy(update={"second_reviewer": "eva"}), VERSION)
    word = signed(claim_of(decision, VERSION, account), KEYS["eva"][0])

    with pytest.raises(ApprovalMissing, match="second reviewer is the first"):
        authorize(decision.model_copy(update={"second_reviewer": account, "second_signature": word}), VERSION, listed)


@pytest.mark.parametrize(
    "name",
    ["", "@", "ana@", "@bank", "ana@b@c", "ana+2@bank.example", "../ana", "a/b@c", "\u0430na@bank.example", "ana "],
)
def test_a_name_that_hides_somebody_is_not_listed(name: str, tmp_path: Path) -> None:
    """Halves, tags of one mailbox, paths and letters of other scripts: no key is made."""
    with pytest.raises(ApprovalMissing, match="made of letters"):
        reviewers.issue(BentosSettings(state_dir=tmp_path), name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("statement", ["", "{}", "[1]", '{"version": 0}', "nonsense"])
def test_only_a_statement_is_signed(statement: str, tmp_path: Path) -> None:
    """What was not copied from the run's table is refused before a key is touched."""
    with pytest.raises(ApprovalMissing, match="no statement"):
        reviewers.sign(statement, "ana", tmp_path / "absent.key")
