// Loaded once; Streamlit may draw its block again.
if (!window.fieldArrive) {
  const LOOK_MS = 50, SETTLED = 20, LATE = 100; // looks at a page at rest
  const form = () => document.querySelector(".st-key-form");
  const box = () => document.querySelector(".st-key-result");
  const app = () => document.querySelector("[data-testid=stApp]");
  const inForm = (target) => target instanceof Element && form()?.contains(target);
  const asks = (target) => target instanceof Element
    && target.closest(".st-key-submit button, .st-key-submit-above button");
  const atRest = () => app()?.dataset.testScriptState === "notRunning";

  // What a field's controls show: the names of all chips, else the text of each input.
  const shown = (field) => {
    const list = field.querySelector("[data-testid=stMultiSelect]");
    if (!list) return [...field.querySelectorAll("input:not([type=hidden])")].map((input) => input.value);
    const chips = [...list.querySelectorAll("[data-tag]")].filter((chip) => !chip.closest("template"));
    return chips.map((chip) => chip.innerText.trim());
  };
  // By input what was typed into it and has not come to the server yet.
  const underWay = new WeakMap();
  document.addEventListener("focusout", ({ target }) => {
    if (inForm(target) && target.dataset.typed) underWay.set(target, target.value);
    if (target.dataset) delete target.dataset.typed;
  }, true);
  // The server holds what the screen shows: nothing that was typed is on its way, and nothing came back changed. A
  // number or a day means the same as it was typed and as it was written back.
  const agreed = () => Object.entries(window.formHeld ?? {}).every(([name, held]) => {
    const field = document.querySelector(`.st-key-field-${name}`);
    if (!field) return true;
    const inputs = field.querySelectorAll("input:not([type=hidden])");
    held.forEach((texts, place) => { if (texts.includes(underWay.get(inputs[place]))) underWay.delete(inputs[place]); });
    const texts = shown(field);
    return texts.length === held.length && texts.every((text, place) => held[place].includes(text))
      && ![...inputs].some((input) => underWay.has(input));
  });

  // From the first key pressed until the server has said whether the form still is what was scored.
  document.addEventListener("input", (event) => {
    if (!inForm(event.target)) return;
    if (event.target.getAttribute("role") !== "combobox") event.target.dataset.typed = "yes";
    box()?.setAttribute("data-typing", "");
  });
  document.addEventListener("focusout", (event) => {
    if (!inForm(event.target)) return;
    const settled = setInterval(() => {
      if (!atRest() || !agreed()) return;
      clearInterval(settled);
      box()?.removeAttribute("data-typing");
    }, 200);
  });

  // The second click of a double click is none: each would be asked and paid for.
  document.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target instanceof Element
      && event.target.closest(".st-key-submit, .st-key-submit-above")) event.stopImmediatePropagation();
  }, true);

  // A click that asks waits until the page is at rest and agreed, however slow the machine or the network: what is sent
  // is what is shown. Where they do not come to agree, it is made after a while, and the answer stays grey.
  document.addEventListener("click", (event) => {
    const button = asks(event.target);
    if (!button || (atRest() && agreed()) || button.dataset.late) return;
    event.stopImmediatePropagation();
    if (button.dataset.waits) return;
    const place = `.${[...button.closest("[class*=st-key-submit]").classList].find((name) => name.startsWith("st-key-submit"))} button`;
    let rest = 0;
    button.dataset.waits = "yes";
    const watch = setInterval(() => {
      rest = atRest() ? rest + 1 : 0;
      const late = rest > LATE;
      if (rest < 2 || !(late || agreed())) return;
      clearInterval(watch);
      delete button.dataset.waits;
      const now = document.querySelector(place);
      if (!now) return;
      if (late) { now.dataset.late = "yes"; box()?.setAttribute("data-typing", ""); }
      now.click();
      delete now.dataset.late;
    }, LOOK_MS);
  }, true);

  // Streamlit loses a click where the visitor goes on within the same moment. Where the page has run since, has come to
  // rest and the server has not counted it, it is made again; before that it may be under way on a slow line.
  let again = 0;
  document.addEventListener("click", (event) => {
    const button = asks(event.target);
    if (!button || event.detail > 1 || button.dataset.watched) return;
    const before = window.clicksTaken;
    let rest = 0, ran = false;
    button.dataset.watched = "yes";
    const watch = setInterval(() => {
      ran ||= !atRest();
      rest = ran && atRest() ? rest + 1 : 0;
      const taken = window.clicksTaken !== before;
      if (!taken && rest < SETTLED) return;
      clearInterval(watch);
      delete button.dataset.watched;
      if (taken) again = 0;
      else if (button.isConnected && again++ < 3) button.click();
    }, LOOK_MS);
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
