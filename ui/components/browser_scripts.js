// Loaded once; Streamlit may draw its block again.
if (!window.fieldArrive) {
  const form = () => document.querySelector(".st-key-form");
  const box = () => document.querySelector(".st-key-result");
  const app = () => document.querySelector("[data-testid=stApp]");
  const inForm = (target) => target instanceof Element && form()?.contains(target);

  // From the first key pressed until the server has said whether the form still is what was scored.
  document.addEventListener("input", (event) => {
    if (inForm(event.target)) box()?.setAttribute("data-typing", "");
  });
  document.addEventListener("focusout", (event) => {
    if (!inForm(event.target)) return;
    const settled = setInterval(() => {
      if (app()?.dataset.testScriptState !== "notRunning") return;
      clearInterval(settled);
      box()?.removeAttribute("data-typing");
    }, 200);
  });

  // The second click of a double click is none: each would be asked and paid for.
  document.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target instanceof Element
      && event.target.closest(".st-key-submit, .st-key-submit-above")) event.stopPropagation();
  }, true);

  // Streamlit loses a click where the visitor goes on within the same moment. Where the page has come to rest and the
  // server has not counted it, it is made again.
  let again = 0;
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest(".st-key-submit button, .st-key-submit-above button");
    if (!button || event.detail > 1 || button.dataset.watched) return;
    const before = window.clicksTaken;
    let rest = 0;
    button.dataset.watched = "yes";
    const watch = setInterval(() => {
      rest = app()?.dataset.testScriptState === "notRunning" ? rest + 1 : 0;
      const taken = window.clicksTaken !== before;
      if (!taken && rest < 5) return;
      clearInterval(watch);
      delete button.dataset.watched;
      if (taken) again = 0;
      else if (button.isConnected && again++ < 3) button.click();
    }, 200);
  }, true);

  // Enter in a text field asks for the score, as in any form. Streamlit takes the value over first.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !inForm(event.target) || event.target.tagName !== "INPUT") return;
    if (event.target.getAttribute("role") === "combobox" || event.isComposing) return;
    const input = event.target;
    setTimeout(() => { input.blur(); document.querySelector(".st-key-submit button")?.click(); }, 0);
  });

  window.fieldArrive = (field) => {
    // Who types on while the answer comes is not torn away from the field.
    if (inForm(document.activeElement) && document.activeElement.tagName === "INPUT") return;
    const at = field && document.querySelector(`.st-key-field-${field}`);
    const shown = at || box();
    if (!shown) return;
    // On a wide screen the result is sticky beside the form and moves with the row that holds both.
    const row = at || (innerWidth >= 1024 ? shown.closest("[data-testid=stHorizontalBlock]") : shown);
    const top = row.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight * 0.35) row.scrollIntoView({ block: at ? "center" : "start" });
    if (at) { at.querySelector("input")?.focus({ preventScroll: true }); return; }
    shown.setAttribute("tabindex", "-1");
    shown.setAttribute("aria-live", "polite");
    shown.focus({ preventScroll: true });
  };
}
