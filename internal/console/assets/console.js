// Countdowns, and the words for a session that has ended. Everything works without this file.
"use strict";
(() => {
  const skew = Date.now() - Number(document.body.dataset.now);
  const plural = (n, word) => n + " " + word + (n === 1 ? "" : "s");

  function words(seconds) {
    if (seconds <= 0) return "over";
    if (seconds < 60) return plural(Math.ceil(seconds), "second");
    if (seconds < 300) return Math.floor(seconds / 60) + " min " + String(Math.floor(seconds % 60)).padStart(2, "0") + " s";
    const h = Math.floor(Math.ceil(seconds / 60) / 60), m = Math.ceil(seconds / 60) % 60;
    if (h === 0) return plural(m, "minute");
    return m === 0 || h >= 48 ? plural(h, "hour") : h + " h " + m + " min";
  }

  function tick() {
    for (const e of document.querySelectorAll("time[data-until]")) {
      const text = words((Number(e.dataset.until) - (Date.now() - skew)) / 1000);
      if (e.textContent !== text) e.textContent = text;
    }
    const n = document.querySelectorAll("#decide .card").length;
    if (document.getElementById("queue")) document.title = n + " waiting · bqgate";
  }
  tick();
  setInterval(tick, 1000);

  document.addEventListener("ended", () => { document.getElementById("ended").hidden = false; });

  const problem = document.getElementById("problem");
  if (problem) problem.focus();

  // One decision is sent once.
  for (const form of document.querySelectorAll("form.decide")) {
    form.addEventListener("submit", event => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
    });
  }
})();
