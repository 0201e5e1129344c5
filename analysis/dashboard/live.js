(() => {
  "use strict";
  // Ask the page's own server every few seconds; reload at once unless the reader has selected something.
  const PERIOD_MS = 4000;
  let seen = null;
  const busy = () => {
    const clear = document.querySelector("#clear");
    return (clear && !clear.hidden) || document.querySelector("details[open]") !== null;
  };
  const offer = () => {
    if (document.querySelector("#news")) return;
    const button = document.createElement("button");
    button.id = "news";
    button.type = "button";
    button.textContent = "New results: show them";
    button.addEventListener("click", () => location.reload());
    document.body.append(button);
  };
  const ask = async () => {
    try {
      const answer = await fetch("/version", { cache: "no-store" });
      const version = await answer.text();
      if (seen !== null && version !== seen) { if (busy()) offer(); else location.reload(); }
      seen = seen === null ? version : seen;
    } catch { /* the server ended; the page stays readable */ }
    setTimeout(ask, PERIOD_MS);
  };
  ask();
})();
