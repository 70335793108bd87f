// The live parts of the pages. Without this file everything can still be read, by loading a page again.
// Markup comes from the server, which has escaped what others wrote.
"use strict";
(() => {
  const MOST_CHUNKS = 200;
  const local = (root) => {
    for (const time of root.querySelectorAll("time")) {
      const at = new Date(time.dateTime);
      if (!isNaN(at)) { time.title = time.textContent; time.textContent = at.toLocaleString(); }
    }
  };
  local(document);

  const filter = document.getElementById("filter");
  if (filter) {
    filter.hidden = false;
    filter.addEventListener("input", () => {
      const wanted = filter.value.toLowerCase();
      for (const row of document.querySelectorAll("tr[data-name]")) row.hidden = !row.dataset.name.toLowerCase().includes(wanted);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && filter) { event.preventDefault(); filter.focus(); }
    if (event.key === "f" && follow) { follow.checked = !follow.checked; follow.dispatchEvent(new Event("change")); }
    const link = { p: "prev", n: "next", u: "up" }[event.key];
    const to = link && document.querySelector(`a[rel=${link}]`);
    if (to) to.click();
  });

  const log = document.getElementById("log");
  const follow = document.getElementById("follow");
  if (!log) return;
  const base = log.dataset.base;
  const toEnd = () => { if (follow && follow.checked) window.scrollTo(0, document.body.scrollHeight); };
  if (follow) {
    follow.closest("label").hidden = false;
    follow.addEventListener("change", toEnd);
    window.addEventListener("wheel", (event) => { if (event.deltaY < 0) follow.checked = false; }, { passive: true });
  }
  const chunk = (html, where) => {
    const part = document.createElement("div");
    part.className = "chunk";
    part.innerHTML = html;
    log.insertAdjacentElement(where, part);
    return part;
  };
  const earlier = document.getElementById("earlier");
  if (earlier) {
    earlier.addEventListener("click", async (event) => {
      event.preventDefault();
      const answer = await fetch(`${base}ward/log?before=${log.dataset.from}`);
      if (!answer.ok) return;
      const part = await answer.json();
      const height = document.body.scrollHeight;
      chunk(part.lines, "afterbegin");
      window.scrollBy(0, document.body.scrollHeight - height);
      log.dataset.from = part.from;
      if (part.from === 0) earlier.hidden = true;
    });
  }
  if (!log.dataset.live) return;
  const events = new EventSource(`${base}ward/events?start=${log.dataset.to}`);
  let last = log.lastElementChild;
  events.addEventListener("text", (event) => {
    const part = JSON.parse(event.data);
    const lines = log.getElementsByClassName("l");
    const open = lines[lines.length - 1];
    if (open && part.wipes) open.textContent = "";
    if (part.head) {
      if (open) open.insertAdjacentHTML("beforeend", part.head);
      else chunk(`<div class="l">${part.head}</div>`, "beforeend");
    }
    if (part.lines) {
      if (last && last.childElementCount < 500) last.insertAdjacentHTML("beforeend", part.lines);
      else last = chunk(part.lines, "beforeend");
    }
    while (log.childElementCount > MOST_CHUNKS) {
      log.firstElementChild.remove();
      const first = lines[0];
      if (first && first.id) log.dataset.from = first.id.slice(1);
      if (earlier) earlier.hidden = false;
    }
    toEnd();
  });
  events.addEventListener("panel", (event) => {
    const part = JSON.parse(event.data);
    const panel = document.getElementById(part.panel);
    if (panel) { panel.innerHTML = part.html; local(panel); }
  });
  events.addEventListener("end", () => {
    events.close();
    if (!follow || follow.checked) location.reload();
    else document.getElementById("over").hidden = false;
  });
  toEnd();
})();
