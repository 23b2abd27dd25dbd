// On Locust's own page: our tab, which can hold only tables there, and a link before there are tabs, lead to our page.
"use strict";
(() => {
  const ROOM = "./control-room/";
  document.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab && tab.textContent.trim().toLowerCase() === "control room") {
      event.stopPropagation();
      location.assign(ROOM);
    }
  }, true);
  const link = Object.assign(document.createElement("a"), { href: ROOM, textContent: "Control room" });
  Object.assign(link.style, {
    position: "fixed", right: "16px", bottom: "56px", zIndex: 2000, padding: "10px 16px", borderRadius: "4px",
    font: "600 15px system-ui, sans-serif", color: "#fff", background: "#11805a", textDecoration: "none",
  });
  document.body.append(link);
  new MutationObserver(() => { link.style.display = document.querySelector('[role="tab"]') ? "none" : ""; }).observe(document.body, { childList: true, subtree: true });
})();
