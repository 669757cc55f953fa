"""The partner demo: `streamlit run ui/app.py`. Chooses language and page; the pages are in `ui.views`.

Streamlit reads this file twice: imported for its server it gives the ASGI application, run as `__main__` one visitor's
page.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from streamlit.starlette import App

from ui.components import chrome
from ui.errors import SettingsMissing
from ui.session import PageContext, language, page_context
from ui.settings import allowed_hosts
from ui.texts.brand import ICON
from ui.texts.wording import texts
from ui.views import setup, sign_in
from ui.visitors import must_sign_in
from ui.web.shell import FirstPaint

_PAGES = {
    "score": ":material/speed:",
    "batch": ":material/table_rows:",
    "whatif": ":material/tune:",
    "model": ":material/verified:",
    "health": ":material/monitor_heart:",
    "developers": ":material/code:",
}


def main() -> None:
    """One run for one visitor."""
    t = texts(language())
    st.set_page_config(page_title=t("app.title"), page_icon=ICON, layout="wide")
    chrome.dress(t)
    try:
        context = page_context()
    except SettingsMissing as problem:
        setup.show(t, problem)
        return
    if must_sign_in(context.settings.visitors):
        sign_in.show(t)
        return
    pages = _pages(context)
    page = st.navigation(pages, position="top")
    chrome.head(t, page, pages)
    page.run()
    chrome.foot(t, context)


def _pages(context: PageContext) -> list[st.Page]:
    names = [name for name in _PAGES if name != "health" or context.for_staff]
    return [
        st.Page(
            _view(name, context),
            title=context.texts(f"nav.{name}"),
            icon=_PAGES[name],
            url_path=name,
            default=name == "score",
        )
        for name in names
    ]


def _view(name: str, context: PageContext) -> Callable[[], None]:
    def run() -> None:
        # Imported when opened: the charts' libraries cost a second that the first page need not pay.
        import_module(f"ui.views.{name}").show(context)

    return run


if __name__ == "__main__":
    main()
else:
    app = App(
        __file__, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts()), Middleware(FirstPaint)]
    )
