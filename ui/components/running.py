"""A batch under way: bar, what is left, and why it waits or stopped."""

from __future__ import annotations

import time

import streamlit as st

from ui.batches.jobs import BackgroundJob
from ui.components import problem
from ui.session import PageContext


def show(context: PageContext, job: BackgroundJob) -> None:
    """Watches the job by itself; when it ends, the whole page is drawn anew with the results."""
    if not job.progress().running:
        _stopped(context, job)
        return

    @st.fragment(run_every=0.5)
    def watch() -> None:
        progress = job.progress()
        if not progress.running:
            st.rerun(scope="app")
        t, f = context.texts, context.formats
        text = t("running.done", done=f.number(progress.done), total=f.number(progress.total))
        if progress.done:
            text += " · " + t("running.left", span=f.span(progress.remaining_s))
        st.progress(progress.done / progress.total, text=text)
        wait_s = progress.wait_until - time.time()
        if wait_s > 1:
            st.info(t("running.waits", span=f.span(wait_s)), icon=":material/hourglass_top:")
        st.caption(t("running.may_close"))

    watch()


def _stopped(context: PageContext, job: BackgroundJob) -> None:
    progress = job.progress()
    if progress.error is None:
        return
    problem.show(context, progress.error)
    f = context.formats
    st.info(context.texts("running.kept", done=f.number(progress.done), total=f.number(progress.total)))
    if st.button(context.texts("running.again"), type="primary", icon=":material/play_arrow:", key="batch.again"):
        job.start()
        st.rerun()
