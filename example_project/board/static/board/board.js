// Keeps the page current: how far behind the replicas are, and how long the pin still holds. The page works without it.
"use strict";

const EVERY_MILLISECONDS = 500;
const LONGEST_MILLISECONDS = 5000;
const pin = document.querySelector("[data-pin]");
let pinnedUntil = performance.now() + Number(pin.dataset.seconds) * 1000;

function showPin() {
  const seconds = Math.max(0, (pinnedUntil - performance.now()) / 1000);
  if (seconds <= 0 && pin.classList.contains("holds")) say("You are not pinned.");
  pin.querySelector("[data-pin-seconds]").textContent = seconds > 0 ? `${seconds.toFixed(1)} s` : "";
  pin.querySelector("progress").value = seconds;
  pin.classList.toggle("holds", seconds > 0);
  if (seconds <= 0) pin.querySelector("[data-pin-cookie]").hidden = true;
}

function say(sentence) {
  const text = pin.querySelector("[data-pin-text]");
  if (text.textContent !== sentence) text.textContent = sentence;
}

function showReplica(replica) {
  const card = document.querySelector(`[data-replica="${replica.alias}"]`);
  const isKnown = replica.behind !== null;
  card.querySelector("[data-behind]").textContent = isKnown ? `${replica.behind.toFixed(1)} s` : "?";
  const bar = card.querySelector("progress");
  bar.max = Math.max(replica.lag, replica.behind, 0.1);
  bar.value = replica.behind;
  card.classList.toggle("late", replica.behind > 0);
  showLag(card, replica.lag);
  showBroken(card, replica.broken);
}

// Another visitor may have set it. Not while this one does.
function showLag(card, lag) {
  const form = card.querySelector("[data-lag]");
  const range = form.querySelector("input[type=range]");
  if (range.matches(":focus") || "sending" in form.dataset) return;
  range.value = lag;
  form.querySelector("output").textContent = `${lag} s`;
}

function showBroken(card, isBroken) {
  card.classList.toggle("broken", isBroken);
  if (card.querySelector("[data-mend]")) {
    card.querySelector("[data-break]").hidden = isBroken;
    card.querySelector("[data-mend]").hidden = !isBroken;
  }
}

function newest(number) {
  if (number === null) return "does not answer";
  return number ? `newest post #${number}` : "no posts";
}

// Another visitor may have switched it.
function showStore(name) {
  for (const button of document.querySelectorAll("button[name=store]")) {
    button.setAttribute("aria-pressed", String(button.value === name));
  }
  for (const explanation of document.querySelectorAll("[data-choice]")) {
    explanation.hidden = explanation.dataset.choice !== name;
  }
}

function showStatus(status) {
  pinnedUntil = performance.now() + status.pin.seconds * 1000;
  pin.querySelector("[data-pin-cookie]").hidden = !status.pin.in_cookie || status.store === "cookie";
  showPin();
  say(status.pin.sentence);
  status.replicas.forEach(showReplica);
  showStore(status.store);
  showTimeline(status.timeline);
  for (const [alias, number] of Object.entries(status.newest_posts)) {
    document.querySelector(`[data-newest="${alias}"]`).textContent = newest(number);
  }
  const notice = document.querySelector(".notice.missed");
  if (notice) {
    const posted = Number(notice.dataset.posted);
    const everywhere = Object.values(status.newest_posts).every((number) => number >= posted);
    notice.querySelector("[data-caught-up]").hidden = !everywhere;
  }
}

// Drawn by the server, which escapes what it draws.
function showTimeline(timeline) {
  document.querySelector("[data-timeline]").innerHTML = timeline.drawing;
  const rows = document.querySelector("[data-timeline-rows]");
  // Nobody's reading is interrupted: open rows stay as they are.
  if (!rows.closest("details").open) rows.innerHTML = timeline.rows;
}

let failures = 0;

async function statusNow() {
  try {
    const response = await fetch(document.body.dataset.status, { signal: AbortSignal.timeout(LONGEST_MILLISECONDS) });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

async function ask() {
  if (!document.hidden) {
    const status = await statusNow();
    failures = status ? 0 : failures + 1;
    document.querySelector("[data-away]").hidden = failures < 2; // Once may be a moment.
    if (status) showStatus(status);
  }
  setTimeout(ask, EVERY_MILLISECONDS);
}

async function sendLag(form) {
  const problem = form.querySelector(".error");
  form.dataset.sending = "";
  try {
    const response = await fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      redirect: "manual",
      keepalive: true, // It is sent, whatever the visitor does next.
    });
    const refused = response.type !== "opaqueredirect" && !response.ok;
    problem.textContent = refused ? await response.text() : "";
  } catch {
    problem.textContent = "The server cannot be reached. Try again.";
  }
  delete form.dataset.sending;
  problem.hidden = !problem.textContent;
}

// Whatever loads the page anew but its own form leaves what was being written.
function keepDraft(form, text) {
  if (!form.contains(text) && text.value) sessionStorage.setItem("draft", text.value);
}

function takeUpDraft(text) {
  text.value = text.value || sessionStorage.getItem("draft") || "";
  sessionStorage.removeItem("draft");
}

function showLocalTime(time) {
  const created = new Date(time.dateTime);
  time.textContent = created.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  time.title = created.toLocaleString();
}

for (const form of document.querySelectorAll("[data-lag]")) {
  const range = form.querySelector("input[type=range]");
  let sent = Promise.resolve();
  form.querySelector("button").hidden = true;
  range.addEventListener("input", () => { form.querySelector("output").textContent = `${Number(range.value)} s`; });
  // One after the other, so that the last one stands.
  range.addEventListener("change", () => { sent = sent.then(() => sendLag(form)); });
  form.addEventListener("submit", (event) => { event.preventDefault(); sendLag(form); });
}
document.querySelectorAll("time").forEach(showLocalTime);
const text = document.querySelector("textarea");
takeUpDraft(text);
document.addEventListener("submit", (event) => { if (!event.defaultPrevented) keepDraft(event.target, text); });
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) text.form.requestSubmit();
});
setInterval(showPin, 100);
ask();
