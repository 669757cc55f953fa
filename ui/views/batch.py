"""Score a whole file: upload, columns, check, send at the pace the limits allow, charts, download."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from service.contract import MAX_BATCH_ROWS, Applicant, RefusedRow, Score
from service.lexicon.limits import ReadOptions
from ui.api.errors import ApiError, FieldFault
from ui.api.limits import Limit
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import Field, FieldKind, contract_fields
from ui.batches import mapping, refusals
from ui.batches.jobs import BackgroundJob, JobStore, digest_of, with_sets
from ui.batches.mapping import CheckedSheet, RowFault
from ui.batches.orders import by_limits
from ui.batches.sheet import OPTIONS, Sheet, read_sheet
from ui.components import file_summary, outcome, problem, running
from ui.errors import SheetRefused
from ui.session import PageContext

DIGEST: Final = "batch"
_SHEET: Final = "batch.sheet"
_ANSWERS: Final = "batch.answers"
_CHECKED: Final = "batch.checked"
_PREVIEW_ROWS: Final = 5
_FAULTS_SHOWN: Final = 500
_FAULTS_AT_ONCE: Final = 5  # so few are told without a click
_JOBS_KEPT: Final = 16
_DIGEST_FORM: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class CheckedFile:
    """The file that is here: as it was read, as the contract judges it, and the name of the batch it makes."""

    sheet: Sheet
    checked: CheckedSheet
    digest: str
    sets: bool = False


@st.cache_resource(show_spinner=False)
def jobs() -> dict[str, BackgroundJob]:
    """The jobs of this server, by digest: they outlive the page that began them."""
    return {}


def show(context: PageContext) -> None:
    """The page."""
    fields = contract_fields()
    st.markdown(context.texts("batch.lead"))
    _templates(context, fields)
    upload = st.file_uploader(
        context.texts("batch.upload"),
        type=["csv", "tsv", "txt", "xlsx", "gz", "zip", "parquet", "jsonl", "ndjson"],
        key="batch.upload",
    )
    st.caption(context.texts("batch.upload_help"))
    file = _prepare(context, fields, upload) if upload is not None else None
    if file is not None and file.checked.applicants:
        _send(context, file)
    _follow(context, file, uploaded=upload is not None)


def _templates(context: PageContext, fields: tuple[Field, ...]) -> None:
    t = context.texts
    rows = pd.DataFrame(mapping.template(fields, list(EXAMPLES.values())))
    with st.container(horizontal=True):
        st.download_button(
            t("batch.template_csv"),
            rows.to_csv(index=False).encode(),
            file_name="applicants.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="template.csv",
        )
        st.download_button(
            t("batch.template_excel"),
            lambda: _excel(rows),
            file_name="applicants.xlsx",
            mime="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            icon=":material/download:",
            on_click="ignore",
            key="template.xlsx",
        )


def _excel(rows: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.to_excel(buffer, index=False, sheet_name="applicants")
    return buffer.getvalue()


def _prepare(context: PageContext, fields: tuple[Field, ...], upload: UploadedFile) -> CheckedFile | None:
    """The file read, its columns mapped, its rows checked; None where something must be put right first."""
    try:
        sheet = _understood(context, upload)
    except SheetRefused as error:
        _refused(context, error)
        return None
    if sheet is None:
        st.warning(context.texts("understood.ask_first"), icon=":material/help:")
        return None
    mapped = _columns(context, fields, sheet)
    absent = [field for field in fields if field.required and field.name not in mapped]
    absent = [field for field in absent if field.kind is not FieldKind.CHOICES]
    if absent:
        names = ", ".join(context.texts.label(field.name) for field in absent)
        st.error(context.texts("batch.columns_absent", names=names), icon=":material/view_column:")
        return None
    try:
        file = _checked(context, sheet, mapped, fields)
    except SheetRefused as error:
        _refused(context, error)
        return None
    _report(context, fields, sheet, file.checked)
    sets = file.checked.applicants and st.checkbox(
        context.texts("batch.sets"), help=context.texts("batch.sets_help"), key=f"batch.sets.{_file_mark()}"
    )
    return replace(file, digest=with_sets(file.digest), sets=True) if sets else file


def _refused(context: PageContext, error: SheetRefused) -> None:
    st.error(context.texts(f"sheet.{error.code}", **error.values), icon=":material/block:")


def _understood(context: PageContext, upload: UploadedFile) -> Sheet | None:
    """The file as it was understood, shown; None while the visitor has to say what it does not tell."""
    sheet = _sheet(upload, OPTIONS)
    understanding = sheet.understanding
    if understanding is None:
        return sheet
    options = file_summary.ask(context, understanding, OPTIONS, _file_mark())
    if options is None:
        return None
    sheet = _sheet(upload, options)
    understanding = sheet.understanding or understanding
    st.markdown(file_summary.layout(context, understanding))
    with st.expander(context.texts("understood.title"), icon=":material/fact_check:"):
        file_summary.columns(context, understanding)
    return sheet


def _sheet(upload: UploadedFile, options: ReadOptions) -> Sheet:
    """The file read with these options, once."""
    entry: tuple[str, dict[ReadOptions, Sheet]] = st.session_state.get(_SHEET) or ("", {})
    if entry[0] != upload.file_id:
        entry = (upload.file_id, {})
        st.session_state[_SHEET] = entry
    if options not in entry[1]:
        entry[1][options] = read_sheet(upload.name, upload.getvalue(), options)
    return entry[1][options]


def _file_mark() -> str:
    """Names this upload in the keys of its widgets: the browser still holds the choices made for the file before."""
    return hashlib.sha256(str(st.session_state[_SHEET][0]).encode()).hexdigest()[:12]


def _columns(context: PageContext, fields: tuple[Field, ...], sheet: Sheet) -> dict[str, str]:
    """By field the column chosen; proposed by name, to be corrected by the visitor."""
    t = context.texts
    mark = _file_mark()
    proposed = mapping.propose(sheet.columns, fields)
    headings = [column for column in sheet.columns if column]
    with st.expander(t("batch.columns", found=len(proposed), total=len(fields)), icon=":material/view_column:"):
        st.markdown(t("batch.columns_lead"))
        left, right = st.columns(2)
        chosen: dict[str, str | None] = {}
        for place, field in enumerate(fields):
            with left if place % 2 == 0 else right:
                chosen[field.name] = st.selectbox(
                    t.label(field.name),
                    headings,
                    index=headings.index(proposed[field.name]) if field.name in proposed else None,
                    placeholder=t("batch.no_column"),
                    key=f"column.{mark}.{field.name}",
                )
    mapped = {field: column for field, column in chosen.items() if column is not None}
    unused = [column for column in headings if column not in mapped.values()]
    if unused:
        st.caption(t("batch.not_sent", names=", ".join(unused)))
    preview = pd.DataFrame(sheet.rows[:_PREVIEW_ROWS], columns=list(sheet.columns))[
        list(dict.fromkeys(mapped.values()))
    ]
    st.dataframe(preview, hide_index=True, alt=t("batch.preview", rows=_PREVIEW_ROWS))
    return mapped


def _checked(context: PageContext, sheet: Sheet, mapped: dict[str, str], fields: tuple[Field, ...]) -> CheckedFile:
    mark = (st.session_state[_SHEET][0], sheet.options, tuple(sorted(mapped.items())))
    entry: tuple[Any, CheckedFile] | None = st.session_state.get(_CHECKED)
    if entry is not None and entry[0] == mark:
        return entry[1]
    with st.spinner(context.texts("batch.checking")):
        checked = mapping.check(sheet, mapped, fields)
        file = CheckedFile(sheet, checked, digest_of(checked.applicants, _mark(context)))
    st.session_state[_CHECKED] = (mark, file)
    return file


def _report(context: PageContext, fields: tuple[Field, ...], sheet: Sheet, checked: CheckedSheet) -> None:
    """What the contract says of each row, before anything is sent."""
    t, f = context.texts, context.formats
    good, bad = len(checked.applicants), len({each.row for each in checked.faults})
    if not bad:
        st.success(t.plural("batch.all_good", good, rows=f.number(good)), icon=":material/check_circle:")
        return
    numbers = {
        "read": t.plural("batch.read", good + bad, rows=f.number(good + bad)),
        "good": t.plural("batch.good", good, rows=f.number(good)),
        "bad": t.plural("batch.bad", bad, rows=f.number(bad)),
    }
    st.warning(t("batch.some_bad", **numbers), icon=":material/rule:")
    by_name = {field.name: field for field in fields}
    rows = [
        {
            t("batch.row"): each.row,
            t("batch.field"): t.label(each.fault.field) if each.fault.field else "",
            t("batch.what"): problem.fault_sentence(context, each.fault, by_name.get(each.fault.field)),
        }
        for each in checked.faults
    ]
    few = len(rows) <= _FAULTS_AT_ONCE
    with st.expander(t("batch.faults", count=f.number(len(rows))), icon=":material/rule:", expanded=few):
        st.dataframe(pd.DataFrame(rows[:_FAULTS_SHOWN]), hide_index=True, alt=t("batch.faults", count=len(rows)))
        st.download_button(
            t("batch.faults_download"),
            lambda: outcome.as_csv(refusals.table(sheet, _problems(context, checked.faults)), t.language),
            file_name="rows-to-correct.csv",
            mime="text/csv",
            on_click="ignore",
            key="faults.csv",
        )


def _send(context: PageContext, file: CheckedFile) -> None:
    t, f = context.texts, context.formats
    if st.session_state.get(DIGEST) == file.digest and file.digest in jobs():
        return
    store = _store(context, file.digest)
    done = len(store.places()) if store.exists else 0
    rows = done or len(file.checked.applicants)
    label = t.plural("batch.go_on" if done else "batch.send", rows, rows=f.number(rows))
    if st.button(label, type="primary", icon=":material/send:", key="batch.send", help=t("batch.send_help")):
        _begin(context, file, store)


def _begin(context: PageContext, file: CheckedFile, store: JobStore) -> None:
    store.open(file.checked.numbers, sets=file.sets)
    running_jobs, digest = jobs(), file.digest
    for other, job in list(running_jobs.items())[: max(0, len(running_jobs) - _JOBS_KEPT)]:
        if not job.progress().running:
            running_jobs.pop(other, None)  # another visitor's page may have dropped it meanwhile
    known = running_jobs.get(digest)
    if known is None or not known.progress().running:  # one that only followed an order has no rows to send
        running_jobs[digest] = _job(context, digest, file.checked.applicants, store)
    running_jobs[digest].start()
    st.session_state[DIGEST] = digest
    st.query_params[DIGEST] = digest
    st.rerun()


def _job(context: PageContext, digest: str, applicants: Sequence[Applicant], store: JobStore) -> BackgroundJob:
    """As the key's limits let the rows through: at once in parts, or as orders which the API scores in its own time."""
    rows = len(store.numbers())
    limits = _limits(context) if rows > MAX_BATCH_ROWS else ()
    return by_limits(rows, store, limits)(digest, applicants, store, context.client, limits=limits)


def _limits(context: PageContext) -> tuple[Limit, ...]:
    """What the key's limits let through now; nothing where the API does not say."""
    try:
        return context.client.model().limits
    except ApiError:
        return ()


def _follow(context: PageContext, file: CheckedFile | None, *, uploaded: bool) -> None:
    """The job of this page: under way, stopped or done. Its digest stands in the address, so a reload finds it.

    What is `uploaded` may be another file than the one that was sent, or be read otherwise by now: then it is told
    apart, and its cells never stand beside the scores.
    """
    digest = st.session_state.get(DIGEST) or st.query_params.get(DIGEST, "")
    if not _DIGEST_FORM.fullmatch(digest):
        return
    st.session_state[DIGEST] = digest
    job, store = jobs().get(digest), _store(context, digest)
    if file is not None and file.digest != digest:
        file = None
    if uploaded and file is None and store.exists:
        st.info(context.texts("outcome.of_earlier"), icon=":material/history:")
    if job is None and store.exists and store.orders() and len(store.places()) < len(store.numbers()):
        job = jobs().setdefault(digest, _job(context, digest, (), store))  # ordered before this server was started anew
        job.start()
    if job is not None and (job.progress().running or job.progress().error is not None):
        running.show(context, job)
    if job is not None and job.progress().running:
        return
    if not store.exists:
        return
    numbers = store.numbers() if file is None else file.checked.numbers
    try:
        answers = _answers(digest, store, job.progress().done if job is not None else -1)
    except ApiError as error:
        problem.show(context, error)
        return
    refused = store.refused()
    back, total = len(answers) + len(refused), len(numbers)
    if back < total and (job is None or job.progress().error is None):
        progress = {"done": context.formats.number(back), "total": context.formats.number(total)}
        st.info(context.texts("batch.interrupted", **progress), icon=":material/pause_circle:")
    late = [fault for place, row in refused.items() for fault in _late(numbers[place], row)]
    if late:
        st.warning(context.texts.plural("batch.refused_late", len(refused), rows=context.formats.number(len(refused))))
    if answers:
        outcome.show(context, answers, numbers, _refs(file), _own_file(context, file, late))


def _answers(digest: str, store: JobStore, done: int) -> dict[int, Score]:
    """The answers kept, read again only when there are more of them."""
    entry: tuple[Any, dict[int, Score]] | None = st.session_state.get(_ANSWERS)
    if entry is None or entry[0] != (digest, done):
        entry = (digest, done), store.answers()
        st.session_state[_ANSWERS] = entry
    return entry[1]


def _refs(file: CheckedFile | None) -> list[str | None]:
    """The partner's own references, while the file is still here: they are not kept."""
    return [applicant.customer_ref for applicant in file.checked.applicants] if file is not None else []


def _late(number: int, row: RefusedRow) -> list[RowFault]:
    """What the API said of a row that this page had taken: it may know a newer contract."""
    return [
        RowFault(number, FieldFault(tuple(filter(None, error.get("pointer", "").split("/"))), error.get("code", "")))
        for error in row.errors
    ]


def _own_file(context: PageContext, file: CheckedFile | None, late: Sequence[RowFault]) -> outcome.OwnFile | None:
    """The partner's own file, while it is still here: its inputs are not kept."""
    return None if file is None else outcome.OwnFile(file.sheet, _problems(context, [*file.checked.faults, *late]))


def _problems(context: PageContext, faults: Sequence[RowFault]) -> dict[int, str]:
    """What is wrong with each row, in words, by its number in the file."""
    by_name = {field.name: field for field in contract_fields()}
    sentences: dict[int, str] = {}
    for each in faults:
        fault = problem.fault_sentence(context, each.fault, by_name.get(each.fault.field))
        sentence = f"{context.texts.label(each.fault.field)}: {fault}" if each.fault.field else fault
        sentences[each.row] = f"{sentences[each.row]} {sentence}" if each.row in sentences else sentence
    return sentences


def _store(context: PageContext, digest: str) -> JobStore:
    return JobStore(context.settings.state / "batches" / digest)


def _mark(context: PageContext) -> str:
    secret = f"{context.settings.endpoint}\n{context.settings.key.get_secret_value()}"
    return hashlib.sha256(secret.encode()).hexdigest()
