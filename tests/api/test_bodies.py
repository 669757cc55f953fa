"""What may be sent: a corpus of bodies with the exact answer to each, content types, sizes and slow senders."""

from __future__ import annotations

import asyncio
import json

import pytest

from service.web.bodies import BATCH_BYTES, ONE_BYTES
from tests.api.client import Api, applicant

GOOD = json.dumps(applicant()).encode()


def changed(old: str, new: str) -> bytes:
    """The good body with one piece of text replaced."""
    assert old.encode() in GOOD
    return GOOD.replace(old.encode(), new.encode())


def with_(name: str, text: str) -> bytes:
    """The good body with one field written as this JSON text."""
    before = json.dumps(applicant()[name])
    return changed(f'"{name}": {before}', f'"{name}": {text}')


def plus(text: str) -> bytes:
    """The good body with one more member."""
    return GOOD[:-1] + b", " + text.encode() + b"}"


def known(*classes: tuple[str, str]) -> bytes:
    """The sound body of a known customer as of 2024-02-29."""
    previous = [{"observed_class": name, "observed_at": day} for name, day in classes]
    return plus(f'"as_of": "2024-02-29", "previous_classes": {json.dumps(previous)}')


CORPUS: dict[str, tuple[bytes, int, str]] = {
    # what is no JSON: 400
    "empty": (b"", 400, "malformed-json"),
    "blank": (b"  \n", 400, "malformed-json"),
    "truncated": (GOOD[:-5], 400, "malformed-json"),
    "trailing-bytes": (GOOD + b"x", 400, "malformed-json"),
    "two-documents": (GOOD + GOOD, 400, "malformed-json"),
    "nul-after": (GOOD + b"\0", 400, "malformed-json"),
    "bom-inside": (GOOD + b"\xef\xbb\xbf", 400, "malformed-json"),
    "bom-twice": (b"\xef\xbb\xbf" * 2 + GOOD, 400, "malformed-json"),
    "utf-16": (GOOD.decode().encode("utf-16"), 400, "malformed-json"),
    "utf-32": (GOOD.decode().encode("utf-32"), 400, "malformed-json"),
    "latin-1": (plus('"customer_ref": "é"').decode().encode("latin-1"), 400, "malformed-json"),
    "bad-utf-8": (plus('"customer_ref": "a"').replace(b'"a"', b'"\xff"'), 400, "malformed-json"),
    "overlong-utf-8": (plus('"customer_ref": "a"').replace(b'"a"', b'"\xc0\xaf"'), 400, "malformed-json"),
    "lone-surrogate": (plus('"customer_ref": "\\ud800"'), 400, "malformed-json"),
    "control-character": (plus('"customer_ref": "a\u0001"'), 400, "malformed-json"),
    "bad-escape": (plus('"customer_ref": "\\x41"'), 400, "malformed-json"),
    "nan": (with_("annual_income", "NaN"), 400, "malformed-json"),
    "infinity": (with_("annual_income", "Infinity"), 400, "malformed-json"),
    "minus-infinity": (with_("monthly_balance", "-Infinity"), 400, "malformed-json"),
    "single-quotes": (GOOD.replace(b'"', b"'"), 400, "malformed-json"),
    "trailing-comma": (GOOD[:-1] + b",}", 400, "malformed-json"),
    "comment": (GOOD + b"// hello", 400, "malformed-json"),
    "leading-zero": (with_("num_loans", "02"), 400, "malformed-json"),
    "plus-sign": (with_("num_loans", "+2"), 400, "malformed-json"),
    "bare-point": (with_("annual_income", "1."), 400, "malformed-json"),
    "hexadecimal": (with_("num_loans", "0x2"), 400, "malformed-json"),
    "python-true": (with_("num_loans", "True"), 400, "malformed-json"),
    "unquoted-key": (GOOD.replace(b'"num_loans"', b"num_loans"), 400, "malformed-json"),
    "depth-30000-lists": (b"[" * 30_000, 400, "malformed-json"),
    "depth-closed": (with_("loan_types", "[" * 5000 + "]" * 5000), 400, "malformed-json"),
    "depth-objects": (b'{"a":' * 8000, 400, "malformed-json"),
    "duplicate-key": (plus('"num_loans": 2'), 400, "duplicate-key"),
    "duplicate-other-value": (plus('"num_loans": 3'), 400, "duplicate-key"),
    "duplicate-escaped": (plus('"num_l\\u006fans": 2'), 400, "duplicate-key"),
    "duplicate-optional": (plus('"as_of": null, "as_of": null'), 400, "duplicate-key"),
    "duplicate-nested": (plus('"extra": {"a": 1, "a": 2}'), 400, "duplicate-key"),
    "integer-5000-digits": (with_("num_loans", "9" * 5000), 400, "malformed-json"),
    # what is JSON and breaks a rule: 422
    "null": (b"null", 422, ""),
    "list": (b"[]", 422, ""),
    "string": (b'"x"', 422, ""),
    "number": (b"1", 422, ""),
    "empty-object": (b"{}", 422, "/annual_income"),
    "unknown-key": (plus('"age": 30'), 422, ""),
    "name-refused": (plus('"name": "Ada"'), 422, ""),
    "income-too-large": (with_("annual_income", "1e400"), 422, "/annual_income"),
    "income-1e308": (with_("annual_income", "1e308"), 422, "/annual_income"),
    "income-negative": (with_("annual_income", "-0.01"), 422, "/annual_income"),
    "income-string": (with_("annual_income", '"65000"'), 422, "/annual_income"),
    "income-nan-string": (with_("annual_income", '"nan"'), 422, "/annual_income"),
    "income-true": (with_("annual_income", "true"), 422, "/annual_income"),
    "income-null": (with_("annual_income", "null"), 422, "/annual_income"),
    "income-object": (with_("annual_income", "{}"), 422, "/annual_income"),
    "integer-400-digits": (with_("num_loans", "9" * 400), 422, "/num_loans"),
    "integer-as-fraction": (with_("num_bank_accounts", "4.5"), 422, "/num_bank_accounts"),
    "integer-as-large-float": (with_("num_bank_accounts", "1e300"), 422, "/num_bank_accounts"),
    "whole-mismatch": (with_("num_loans", "1.0"), 422, "/loan_types"),
    "integer-string": (with_("num_bank_accounts", '"4"'), 422, "/num_bank_accounts"),
    "integer-true": (with_("num_bank_accounts", "true"), 422, "/num_bank_accounts"),
    "integer-too-large": (with_("num_bank_accounts", "51"), 422, "/num_bank_accounts"),
    "loans-mismatch": (with_("num_loans", "1"), 422, "/loan_types"),
    "loan-kind-unknown": (with_("loan_types", '["auto", "boat"]'), 422, "/loan_types/1"),
    "loan-kinds-null": (with_("loan_types", "null"), 422, "/loan_types"),
    "mix-lower-case": (with_("credit_mix", '"standard"'), 422, "/credit_mix"),
    "mix-number": (with_("credit_mix", "1"), 422, "/credit_mix"),
    "behaviour-upper-case": (
        with_("payment_behaviour", '"High_spent_Small_value_payments"'), 422, "/payment_behaviour"),
    "ref-formula": (plus('"customer_ref": "=cmd|x"'), 422, "/customer_ref"),
    "ref-nul": (plus('"customer_ref": "a\\u0000"'), 422, "/customer_ref"),
    "ref-line-feed": (plus('"customer_ref": "a\\n"'), 422, "/customer_ref"),
    "ref-path": (plus('"customer_ref": "../../etc"'), 422, "/customer_ref"),
    "ref-empty": (plus('"customer_ref": ""'), 422, "/customer_ref"),
    "ref-65-long": (plus(f'"customer_ref": "{"a" * 65}"'), 422, "/customer_ref"),
    "ref-emoji": (plus('"customer_ref": "\\ud83d\\ude00"'), 422, "/customer_ref"),
    "date-future": (plus('"as_of": "2999-01-01"'), 422, "/as_of"),
    "date-seconds": (plus('"as_of": "1704067200"'), 422, "/as_of"),
    "date-time": (plus('"as_of": "2024-01-01T00:00:00"'), 422, "/as_of"),
    "date-impossible": (plus('"as_of": "2023-02-30"'), 422, "/as_of"),
    "date-number": (plus('"as_of": 20240101'), 422, "/as_of"),
    "class-on-the-day": (known(("Good", "2024-02-29")), 422, "/previous_classes"),
    "class-after": (known(("Good", "2024-03-01")), 422, "/previous_classes"),
    "class-day-twice": (known(("Good", "2024-01-31"), ("Poor", "2024-01-31")), 422, "/previous_classes"),
    "class-unknown": (known(("good", "2024-01-31")), 422, "/previous_classes/0/observed_class"),
    "class-date-time": (known(("Good", "2024-01-31T00:00:00")), 422, "/previous_classes/0/observed_at"),
    "classes-eight": (known(*(("Good", f"2024-01-{day}") for day in range(10, 18))), 422, "/previous_classes"),
    "class-more-keys": (
        known(("Good", "2024-01-31")).replace(b'"observed_at"', b'"score": 1, "observed_at"'),
        422,
        "/previous_classes/0",
    ),
    "class-key-twice": (
        known(("Good", "2024-01-31")).replace(b'"observed_at"', b'"observed_class": "Good", "observed_at"'),
        400,
        "duplicate-key",
    ),
    # what is odd and allowed: 200
    "bom": (b"\xef\xbb\xbf" + GOOD, 200, ""),
    "integer-as-float": (with_("num_bank_accounts", "4.0"), 200, ""),
    "integer-exponent": (with_("num_bank_accounts", "4e0"), 200, ""),
    "nullable-integer-as-float": (with_("num_delayed_payments", "7.00"), 200, ""),
    "class-before": (known(("Good", "2024-02-28"), ("Poor", "2023-12-31")), 200, ""),
    "classes-none": (plus('"previous_classes": []'), 200, ""),
    "classes-null": (plus('"previous_classes": null'), 200, ""),
    "minus-zero": (with_("num_delayed_payments", "-0"), 200, ""),
    "exponent": (with_("annual_income", "6.5e4"), 200, ""),
    "integer-for-number": (with_("annual_income", "65000"), 200, ""),
    "tiny": (with_("monthly_balance", "4.9e-324"), 200, ""),
    "escaped-key": (GOOD.replace(b'"num_loans"', b'"num_l\\u006fans"'), 200, ""),
    "spaces": (b" \r\n\t" + GOOD + b"\n ", 200, ""),
    "null-optional": (plus('"as_of": null, "customer_ref": null'), 200, ""),
    "ref-and-date": (plus('"as_of": "2024-02-29", "customer_ref": "a-b_C9"'), 200, ""),
    "loans-untold": (with_("loan_types", "[]"), 200, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CORPUS)
def test_each_body_has_its_answer(api: Api, name: str) -> None:
    """Status, problem type and pointer of the first fault, exactly; never the value in the answer."""
    body, status, hint = CORPUS[name]
    answer = api.post("/v1/score", body)
    assert answer.status == status, answer.body
    if status == 400:
        assert answer.json["type"].endswith(hint)
    if status == 422:
        assert answer.json["errors"][0]["pointer"] == hint
    if status != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["instance"] == f"urn:request:{answer.headers['x-request-id']}"


def test_a_batch_names_the_row(api: Api) -> None:
    """Pointers of a batch begin with the row; a duplicate key in any row is 400."""
    rows = [applicant(), applicant(), applicant(), applicant(annual_income=-1)]
    answer = api.post("/v1/score/batch", {"applicants": rows})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, "/applicants/3/annual_income")
    twice = b'{"applicants": [' + GOOD + b", " + plus('"num_loans": 2') + b"]}"
    assert api.post("/v1/score/batch", twice).json["type"].endswith("duplicate-key")


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({"applicants": []}, "/applicants"),
        ({"applicants": [applicant()] * 1001}, "/applicants"),
        ({"applicants": {}}, "/applicants"),
        ({"applicants": [1]}, "/applicants/0"),
        ({"applicants": [applicant()], "more": 1}, ""),
        ([applicant()], ""),
        ({}, "/applicants"),
    ],
    ids=["none", "1001", "object", "number", "unknown-key", "list-at-root", "missing"],
)
def test_a_batch_has_its_own_rules(api: Api, content: object, pointer: str) -> None:
    """One to a thousand applicants under one key."""
    answer = api.post("/v1/score/batch", content)
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize(("rows", "named"), [(5, 5), (25, 20), (1000, 1)])
def test_the_more_is_wrong_the_less_is_named(api: Api, rows: int, named: int) -> None:
    """An answer never grows with the number of faults; of a large body the first is named."""
    answer = api.post("/v1/score/batch", {"applicants": [applicant(num_loans="x")] * rows})
    assert answer.status == 422
    assert [fault["pointer"] for fault in answer.json["errors"]] == [
        f"/applicants/{row}/num_loans" for row in range(named)
    ]


LARGE = {"applicants": [applicant()] * 60}
FIRST: dict[str, tuple[object, int, str]] = {
    "a row": ({"applicants": [applicant()] * 60 + [applicant(annual_income=-1)]}, 422, "/applicants/60/annual_income"),
    "no rule of a field": ({"applicants": [applicant()] * 60 + [applicant(num_loans=7)]}, 422,
                           "/applicants/60/loan_types"),
    "no row": ({"applicants": [applicant()] * 60 + [1]}, 422, "/applicants/60"),
    "a large row": ({"applicants": [{"x" * 20_000: 1}]}, 422, "/applicants/0"),
    "too many": ({"applicants": [applicant()] * 1001}, 422, "/applicants"),
    "far too many": ({"applicants": [{}] * 90_000}, 422, "/applicants"),
    "a key of its own": ({**LARGE, "more": 1}, 422, ""),
    "no batch": ([applicant()] * 60, 422, ""),
    "cut off": (json.dumps(LARGE).encode()[:-1], 400, "line 1, column "),
    "no UTF-8": (json.dumps(LARGE).encode().replace(b"auto", b"au\xff", 1), 400, "UTF-8"),
    "a duplicate": (json.dumps(LARGE).encode().replace(b'"num_loans"', b'"num_loans": 2, "num_loans"', 1),
                    400, "twice"),
    "deep": (b'{"applicants":' + b"[" * 200_000, 400, "nested too deeply"),
    "a second line": (json.dumps(LARGE).encode()[:-1] + b"\n,,", 400, "line 2, column "),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRST)
def test_of_a_large_batch_the_first_fault_is_named(api: Api, name: str) -> None:
    """Its place in the batch, or in the text where it is no JSON."""
    content, status, hint = FIRST[name]
    answer = api.post("/v1/score/batch", content)
    assert answer.status == status, answer.body
    if status == 400:
        assert hint in answer.json["detail"]
    else:
        assert [fault["pointer"] for fault in answer.json["errors"]] == [hint]


KAGGLE = {
    "Annual_Income": "annual_income", "Monthly_Inhand_Salary": "monthly_inhand_salary",
    "Num_Bank_Accounts": "num_bank_accounts", "Num_Credit_Card": "num_credit_cards", "Num_of_Loan": "num_loans",
    "Type_of_Loan": "loan_types", "Interest_Rate": "interest_rate", "Delay_from_due_date": "delay_from_due_date",
    "Num_of_Delayed_Payment": "num_delayed_payments", "Num_Credit_Inquiries": "num_credit_inquiries",
    "Changed_Credit_Limit": "changed_credit_limit", "Credit_Mix": "credit_mix", "Outstanding_Debt": "outstanding_debt",
    "Credit_Utilization_Ratio": "credit_utilization_ratio", "Credit_History_Age": "credit_history_months",
    "Payment_of_Min_Amount": "payment_of_min_amount", "Total_EMI_per_month": "total_emi_per_month",
    "Amount_invested_monthly": "amount_invested_monthly", "Payment_Behaviour": "payment_behaviour",
    "Monthly_Balance": "monthly_balance",
}  # fmt: skip


@pytest.mark.parametrize("style", ["kaggle", "camel"])
def test_misspelt_names_are_told_before_missing_ones(api: Api, style: str) -> None:
    """A body with another convention's names: each name that was meant, and only then what is missing."""
    names = {ours: kaggle for kaggle, ours in KAGGLE.items()}
    if style == "camel":
        names = {one: one.split("_")[0] + "".join(map(str.capitalize, one.split("_")[1:])) for one in names}
        names = {ours: camel for ours, camel in names.items() if ours != camel}
    answer = api.post("/v1/score", {names.get(name, name): value for name, value in applicant().items()})
    told = [fault["detail"].rpartition("did you mean ")[2].rstrip("?") for fault in answer.json["errors"]]
    assert answer.status == 422
    assert set(told[: len(names)]) == set(names)


@pytest.mark.parametrize(
    ("route", "content", "expected"),
    [
        ("/v1/score/advice", applicant(), [("", "/applicant"), ("/applicant", ""), ("/target", "")]),
        ("/v1/score/advice", {"applicant": applicant(), "band": "Good"}, [("", "/target"), ("/target", "")]),
        ("/v1/score/batch", applicant(), [("", "/applicants/0"), ("/applicants", "")]),
        ("/v1/score", {"applicant": applicant()}, [("", "not under a key of their own"), ("/annual_income", "")]),
        ("/v1/score/batch", {"applicants": [{"applicant": applicant()}]}, [("/applicants/0", "not under a key")]),
        ("/v1/score/advice", {"applicant": applicant(annualIncome=1), "target": {"band": "Good"}},
         [("/applicant", "did you mean annual_income?")]),
    ],
    ids=["advice-bare", "target-bare", "batch-bare", "wrapped", "wrapped-in-batch", "misspelt-inside"],
)  # fmt: skip
def test_a_key_in_the_wrong_object_is_told_where_it_belongs(
    api: Api, route: str, content: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    """Said once, however many keys there are, so that what is missing stands in the answer too."""
    answer = api.post(route, content)
    faults = answer.json["errors"][: len(expected)]
    assert answer.status == 422
    assert [fault["pointer"] for fault in faults] == [pointer for pointer, _ in expected]
    assert all(words in fault["detail"] for fault, (_, words) in zip(faults, expected, strict=True))


def test_a_path_with_a_slash_too_many_names_the_right_one(api: Api) -> None:
    """Only to who has a key."""
    for path in ("/v1/score/", "/V1/Score", "//v1/score"):
        answer = api.post(path, applicant())
        assert (answer.status, "/v1/score" in answer.json["detail"]) == (404, True)
    assert "route" not in api.post("/v1/scores", applicant()).json["detail"]
    assert api.post("/v1/score/", applicant(), key=None).status == 401


def test_a_key_of_the_callers_own_is_never_repeated(api: Api) -> None:
    """An unknown key may be a customer's name: only our own names are said, as a hint."""
    answer = api.post("/v1/score", plus('"Maria_da_Silva_529982": 1, "anual_income": 5'))
    assert answer.status == 422
    assert b"Maria" not in answer.body and b"529982" not in answer.body
    assert b"did you mean annual_income?" in answer.body


TYPES = [
    ("application/json", 200), ("application/json; charset=utf-8", 200), ("application/json;charset=UTF-8", 200),
    ("APPLICATION/JSON", 200), ('application/json; charset="utf-8"', 200), ("application/json; charset=utf8", 200),
    ("application/json; charset=utf-16", 415), ("application/json; charset=latin-1", 415),
    ("application/json; boundary=x", 200), ("application/json, text/plain", 415), ("application/jsonp", 415),
    ("application/problem+json", 415), ("application/vnd.api+json", 415), ("application/json-patch+json", 415),
    ("application/x-ndjson", 415), ("text/json", 415), ("text/plain", 415), ("text/html", 415), ("", 415), ("*/*", 415),
    ("application/*", 415), ("application/xml", 415), ("application/x-www-form-urlencoded", 415),
    ("multipart/form-data", 415), ("multipart/form-data; boundary=x", 415), ("multipart/mixed", 415),
    ("application/vnd.bentoml+pickle", 415), ("application/octet-stream", 415), ("application/x-python-serialize", 415),
    ("application/msgpack", 415), ("image/png", 415), ("json", 415),
]  # fmt: skip


@pytest.mark.parametrize(("content_type", "status"), TYPES)
def test_json_in_utf_8_and_nothing_else(api: Api, content_type: str, status: int) -> None:
    """Any other content type is 415, whatever the body."""
    answer = api.request("POST", "/v1/score", GOOD, {"content-type": content_type})
    assert answer.status == status


def test_a_content_encoding_is_refused(api: Api) -> None:
    """No decompression, no bomb; `identity` is none."""
    assert api.post("/v1/score", GOOD, {"content-encoding": "Identity"}).status == 200
    answer = api.post("/v1/score", GOOD, {"content-encoding": "gzip"})
    assert answer.status == 415


@pytest.mark.parametrize(("path", "limit"), [("/v1/score", ONE_BYTES), ("/v1/score/batch", BATCH_BYTES)])
def test_too_large_is_refused_unread(api: Api, path: str, limit: int) -> None:
    """A declared length over the limit is 413 without reading; so is a longer stream, after the limit."""
    declared = api.request("POST", path, b"", {"content-type": "application/json", "content-length": str(limit + 1)})
    assert (declared.status, declared.headers["connection"]) == (413, "close")
    read = 0

    def stream():  # type: ignore[no-untyped-def]
        nonlocal read
        while True:
            read += 4096
            yield b" " * 4096
            if read > 4 * limit:
                return

    answer = api.request("POST", path, headers={"content-type": "application/json"}, chunks=list(stream()))
    assert answer.status == 413


def test_a_body_of_exactly_the_limit_is_read(api: Api) -> None:
    """The limit itself is allowed."""
    assert api.post("/v1/score", GOOD + b" " * (ONE_BYTES - len(GOOD))).status == 200


def test_a_slow_body_is_given_up(api: Api) -> None:
    """Who does not finish in time gets 400 and the connection is closed; others go on meanwhile."""

    async def slow() -> tuple[dict[str, object], int]:
        start: dict[str, object] = {}

        async def receive() -> dict[str, object]:
            await asyncio.sleep(30)
            raise AssertionError("never")

        async def send(message: dict[str, object]) -> None:
            start.update(message if message["type"] == "http.response.start" else {})

        headers = {"host": "t", "x-api-key": api.key, "content-type": "application/json", "content-length": "900"}
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/score",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("192.0.2.1", 1),
        }
        waiting = asyncio.ensure_future(api.app(scope, receive, send))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        good = await api.call("POST", "/v1/score", GOOD, {"content-type": "application/json"})
        await waiting
        return start, good.status

    start, status = api.runner.run(slow())
    assert status == 200
    assert start["status"] == 400
    assert (b"connection", b"close") in start["headers"]  # type: ignore[operator]


def test_a_cut_off_body_is_refused(api: Api) -> None:
    """A client that leaves in the middle gets no score and makes no record."""

    async def leave() -> int:
        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        start: dict[str, int] = {}

        async def send(message: dict[str, int]) -> None:
            start.update(message if message["type"] == "http.response.start" else {})  # type: ignore[comparison-overlap]

        headers = [(b"host", b"t"), (b"x-api-key", api.key.encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/score", "headers": headers, "client": None}
        await api.app(scope, receive, send)  # type: ignore[arg-type]
        return start["status"]

    assert api.runner.run(leave()) == 400
