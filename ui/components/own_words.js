// Streamlit's own words, which it has in English alone, in the page's language; loaded once, told the language each run.
if (!window.pageSpeak) {
  const attributes = ["aria-label", "title", "placeholder"];
  const held = "pre, code, script, style, [data-testid=stIFrame], [data-testid=stAlert]";
  let rules = [];
  const spoken = (text) => {
    for (const [from, to] of rules) {
      const found = text.match(from);
      if (found) return to.replace("{}", () => found[1] ?? "");
    }
    return text;
  };
  const put = (node) => {
    if (node.nodeType === Node.TEXT_NODE) {
      const text = node.data.trim();
      const said = text && !node.parentElement?.closest(held) ? spoken(text) : text;
      if (said !== text) node.data = node.data.replace(text, () => said);
    } else if (node.nodeType === Node.ELEMENT_NODE) {
      if (node.matches("[data-testid=stCode] pre")) node.tabIndex = 0; // what scrolls is scrolled by keyboard too
      for (const name of attributes) {
        const text = node.getAttribute(name);
        const said = text && spoken(text);
        if (said && said !== text) node.setAttribute(name, said);
      }
    }
  };
  const walk = (root) => {
    put(root);
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) put(walker.currentNode);
  };
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "childList") change.addedNodes.forEach(walk);
      else put(change.target);
    }
  }).observe(document.body, { childList: true, subtree: true, characterData: true, attributeFilter: attributes });

  window.pageSpeak = (lang, pairs) => {
    const plain = (text) => text.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace("{}", "(.+)");
    document.documentElement.lang = lang;
    rules = pairs.map(([other, own]) => [new RegExp(`^${plain(other)}$`), own]);
    walk(document.body);
  };
}
