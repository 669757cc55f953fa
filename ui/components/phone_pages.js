// On a phone the pages stand in one row that scrolls: the one that is open is brought into view. The links widen while
// they load, so it is done again for a while, until somebody touches the page, scrolls it or goes through it by keyboard.
window.showOpenPage = (place) => {
  clearInterval(window.openPageTimer);
  const until = Date.now() + 10000;
  window.openPageTimer = setInterval(() => {
    const row = document.querySelector(".st-key-phone-pages"), chip = row?.children[place];
    if (chip?.offsetWidth) {
      row.scrollLeft = chip.offsetLeft - row.offsetLeft - (row.clientWidth - chip.offsetWidth) / 2;
    }
    if (Date.now() > until) clearInterval(window.openPageTimer);
  }, 200);
  const leave = () => clearInterval(window.openPageTimer);
  for (const kind of ["pointerdown", "wheel", "keydown"]) document.addEventListener(kind, leave, { once: true, capture: true });
};
