// What the pages do by themselves: times in the reader's zone, dialogs, the keyboard, and live updates.
"use strict";

(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const today = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const otherDay = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

  function localise(root) {
    for (const time of all("time[datetime]", root)) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      if (!time.title) time.title = time.textContent;
      time.textContent = (at.toDateString() === new Date().toDateString() ? today : otherDay).format(at);
    }
  }

  // Dialogs: a button with data-dialog opens the dialog of that id. Nothing destructive is done without one.
  function open(id) {
    const dialog = document.getElementById(id);
    if (dialog && !dialog.open) dialog.showModal();
  }
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) open(opener.dataset.dialog);
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  });
  // A form is sent once, however often its button is pressed. A page that comes back from the history is as new.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));

  // The keyboard.
  let gone = 0;
  const rows = () => all("[data-row]").filter((row) => row.offsetParent !== null);
  const link = (row) => row && (row.querySelector("[data-main]") || row.querySelector("a, button"));
  const current = () => document.activeElement && document.activeElement.closest("[data-row]");
  function step(by) {
    const every = rows();
    const at = every.indexOf(current());
    const next = every[at < 0 ? (by > 0 ? 0 : every.length - 1) : Math.min(every.length - 1, Math.max(0, at + by))];
    const target = link(next);
    if (target) { target.focus(); next.scrollIntoView({ block: "nearest" }); }
  }
  const keys = {
    "/": () => { const find = document.getElementById("find"); if (find) { find.focus(); find.select(); } },
    "?": () => open("keys-help"),
    j: () => step(1),
    k: () => step(-1),
    x: () => { const box = current() && current().querySelector("input[type=checkbox]"); if (box) box.click(); },
    r: () => { const act = (current() || document).querySelector("[data-key=r]") || document.querySelector("[data-key=r]"); if (act) act.click(); },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const field = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (field) {
      if (event.key === "Escape" && !field.closest("dialog")) field.blur();
      return;
    }
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "g") { gone = Date.now(); return; }
    const target = Date.now() - gone < 1500 && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    gone = 0;
    if (target) { event.preventDefault(); target.click(); return; }
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // Live updates: one stream for the page, while it is looked at. It says that something has changed, at most once a
  // second, and the parts of the page that wait for `live` are read anew. Nothing moves under the reader's hand.
  const stale = document.getElementById("stale");
  let stream = null;
  let seen = new Date();
  function listen() {
    if (stream || document.hidden || !document.querySelector("[data-live]")) return;
    stream = new EventSource("/console/live");
    stream.onopen = () => all(".live").forEach((mark) => { mark.hidden = false; });
    stream.onerror = () => all(".live").forEach((mark) => { mark.hidden = true; });
    stream.addEventListener("change", () => document.body.dispatchEvent(new Event("live")));
    stream.addEventListener("end", () => { stop(); location.reload(); });
  }
  function stop() {
    if (stream) stream.close();
    stream = null;
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { stop(); return; }
    listen();
    document.body.dispatchEvent(new Event("live"));
  });
  addEventListener("pagehide", stop);

  function failed() {
    if (!stale) return;
    stale.querySelector("span").textContent = today.format(seen);
    stale.hidden = false;
  }
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful) { failed(); return; }
    seen = new Date();
    if (stale) stale.hidden = true;
  });
  document.addEventListener("htmx:afterSwap", (event) => localise(event.detail.elt));
  document.addEventListener("htmx:load", (event) => localise(event.detail.elt));

  // What was refused is asked for again.
  for (const dialog of all("dialog[data-open]")) open(dialog.id);
  localise(document);
  listen();
})();
