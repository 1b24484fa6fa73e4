"use strict";

// Everything that comes from the worker becomes text nodes; nothing is parsed as HTML.

const EVERY = 2000;
const RATE_SECONDS = 10;
const LATENCY_SECONDS = 60;
const HISTORY = 60;
const OUTCOMES = ["delivered", "coalesced", "filtered", "duplicate", "dead_lettered"];
const ACTIONS = ["identify", "track", "page", "screen", "group", "alias", "tag", "untag", "delete"];
const CIRCUIT = [["called", "good"], ["away: only probed", "bad"], ["refuses us: only probed", "bad"]];
const TOKEN = "streams-token";

const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const fine = new Intl.NumberFormat("en", {maximumFractionDigits: 1});
const told = (outcome) => outcome.replace("_", "-");

function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Say it once: a screen reader repeats what is written again. */
function say(element, text, failed = false) {
  if (element.textContent !== text) element.textContent = text;
  element.classList.toggle("failed", failed);
}

// -- the worker

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token && path !== "state") headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(`api/${path}`, {...options, headers, credentials: "omit"});
  } catch {
    throw new Refused(0, "the worker does not answer");
  }
  const found = await answer.json().catch(() => ({error: `status ${answer.status}`}));
  if (!answer.ok) {
    if (answer.status === 401) lock(found.error);
    throw new Refused(answer.status, found.error);
  }
  return found;
}

const post = (path, body) => ask(path, {method: "POST", body});

// -- the numbers

const history = [];
const cards = new Map();

async function poll() {
  if (!document.hidden) {
    try {
      show(await ask("state"));
    } catch (error) {
      status(error.message, "bad");
    }
  }
  setTimeout(poll, EVERY);
}

function status(text, kind) {
  const element = byId("status");
  say(element, text);
  element.className = `pill ${kind}`;
}

function settled(destination) {
  return OUTCOMES.reduce((sum, outcome) => sum + destination.outcomes[outcome], 0);
}

function show(state) {
  const last = history.at(-1);
  const total = (found) => found.destinations.reduce((sum, each) => sum + settled(each), 0);
  // Another worker behind the same address, or one that began anew, counts from its own start.
  if (last && (total(state) < total(last) || state.appId !== last.appId)) history.length = 0;
  history.push(state);
  if (history.length > HISTORY) history.shift();

  byId("app-id").textContent = state.appId === "encharge-streams" ? "" : state.appId;
  document.title = `${state.notReady.length ? "not ready: " : ""}${state.appId}`;
  status(state.notReady.length ? "not ready" : state.dryRun ? "ready, dry run" : "ready",
    state.notReady.length ? "bad" : "good");
  const reasons = byId("reasons");
  const lines = state.notReady.map(({reason, text}) => `${reason}: ${text}`);
  if (reasons.dataset.lines !== lines.join("\n")) {
    reasons.dataset.lines = lines.join("\n");
    reasons.replaceChildren(...lines.map((line) => make("li", {}, line)));
    reasons.hidden = !lines.length;
  }
  guard(state.isGuarded);
  showStages(state);
  for (const name of state.names) {
    const found = state.destinations.find((each) => each.name === name);
    if (found) card(name)(found);
  }
}

/** The state that was `seconds` ago, or the oldest that is known. */
function before(seconds) {
  const now = history.at(-1).at;
  return history.findLast((state) => now - state.at >= seconds - 0.5) || history[0];
}

/** How much a figure of a destination grew in a second, of late. */
function rate(name, figure, from = before(RATE_SECONDS), to = history.at(-1)) {
  const figureOf = (state) => {
    const found = state.destinations.find((each) => each.name === name);
    return (found && figure(found)) || 0;
  };
  return to.at > from.at ? (figureOf(to) - figureOf(from)) / (to.at - from.at) : 0;
}

function showStages(state) {
  const lag = {};
  for (const each of state.destinations) {
    for (const [topic, records] of Object.entries(each.lag)) lag[topic] = (lag[topic] || 0) + records;
  }
  const {resolve, route} = state.stages;
  const sources = Object.keys(lag).filter((topic) => topic !== resolve && topic !== route);
  const behind = (topics) => topics.reduce((sum, topic) => sum + (lag[topic] || 0), 0);
  const early = state.destinations.find((each) => each.name === "");
  const buried = early ? early.outcomes.dead_lettered : 0;
  const stages = [
    stage("Ingest", whole.format(behind(sources)), "records behind",
      `${sources.join(", ") || "no partition yet"}${buried ? `; ${whole.format(buried)} dead-lettered` : ""}`),
    stage("Resolve", whole.format(behind([resolve])), "records behind", resolve),
  ];
  if (route in lag) {
    stages.push(stage("Route", whole.format(behind([route])), "records behind", `${route}, over all destinations`));
  }
  const all = (figure) => state.destinations.reduce((sum, each) => sum + figure(each), 0);
  const perSecond = state.destinations.reduce((sum, each) => sum + rate(each.name, settled), 0);
  stages.push(
    stage("Windows and delivery", whole.format(all((each) => each.inFlight)), "events in flight",
      `${whole.format(all((each) => each.openCalls))} open calls`),
    stage("Outcomes", fine.format(perSecond), "a second", `to ${state.names.join(", ")}`),
  );
  byId("stages").replaceChildren(...stages);
}

function stage(name, figure, unit, note) {
  return make("li", {},
    make("div", {class: "name"}, name),
    make("div", {class: "figure"}, figure, " ", make("small", {}, unit)),
    make("div", {class: "note"}, note));
}

/** The place of a destination on the page: a function that shows its numbers there. */
function card(name) {
  if (cards.has(name)) return cards.get(name);
  const circuit = make("span", {class: "pill"});
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const chart = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  chart.setAttribute("aria-hidden", "true");
  chart.setAttribute("preserveAspectRatio", "none");
  chart.setAttribute("viewBox", `0 0 ${HISTORY} 100`);
  chart.append(line);
  const tiles = make("dl", {class: "tiles"});
  const body = make("tbody", {});
  const numbers = ["In a window", "In delivery", "A second", "Delivered", "Coalesced", "Filtered",
    "Duplicate", "Dead-lettered"];
  const reasons = make("p", {class: "hint"});
  const title = make("h3", {id: `destination-${cards.size}`}, name);
  byId("destinations").append(
    make("section", {class: "card", "aria-labelledby": title.id},
      make("div", {class: "head"}, title, circuit, chart),
      tiles,
      make("div", {class: "wide", tabindex: "0", role: "region", "aria-labelledby": title.id},
        make("table", {},
          make("thead", {}, make("tr", {}, make("th", {scope: "col"}, "Action"),
            ...numbers.map((text) => make("th", {scope: "col", class: "number"}, text)))),
          body)),
      reasons));

  function update(found) {
    const [text, kind] = CIRCUIT[found.circuit] || CIRCUIT[0];
    circuit.textContent = text;
    circuit.className = `pill ${kind}`;
    const {recent, median, high} = latency(found);
    const failed = Object.entries(found.calls)
      .filter(([code]) => !/^2/.test(code)).reduce((sum, [, count]) => sum + count, 0);
    tiles.replaceChildren(
      tile("Events a second", fine.format(rate(name, settled))),
      tile("In flight", whole.format(found.inFlight), behindOn(found)),
      tile("Open calls", whole.format(found.openCalls),
        found.callLimit ? `of ${whole.format(found.callLimit)} trusted` : ""),
      tile(`Latency, ${recent ? "last minute" : "since start"}`, median, high && `95 %: ${high}`),
      tile("Calls a second", fine.format(rate(name, calls)), `${whole.format(calls(found))} in all`),
      tile("Not accepted", whole.format(failed), `${whole.format(found.retries)} tried again`),
      tile("Dead-lettered", whole.format(found.outcomes.dead_lettered)));
    const names = Object.keys(found.actions).sort((a, b) => order(a) - order(b) || (a < b ? -1 : 1));
    body.replaceChildren(...names.map((action) => row(name, action, found.actions[action])));
    reasons.textContent = ["filtered", "dead_lettered"].filter((each) => found.reasons[each])
      .map((each) => `${told(each)}: ${Object.entries(found.reasons[each])
        .map(([reason, count]) => `${whole.format(count)} ${reason}`).join(", ")}`).join("; ");
    chart.firstChild.setAttribute("points", points(name));
  }

  cards.set(name, update);
  return update;
}

/** How far a destination that reads on its own is behind. */
function behindOn(found) {
  const records = found.lag[history.at(-1).stages.route];
  return records === undefined ? "" : `${whole.format(records)} records behind`;
}

const order = (action) => (ACTIONS.indexOf(action) + ACTIONS.length + 1) % (ACTIONS.length + 1);
const calls = (found) => Object.values(found.calls).reduce((sum, count) => sum + count, 0);
const ofAction = (action) => (found) =>
  OUTCOMES.reduce((sum, outcome) => sum + ((found.actions[action] || {})[outcome] || 0), 0);

function tile(name, figure, note) {
  return make("div", {}, make("dt", {}, name),
    make("dd", {}, figure, " ", ...(note ? [make("small", {}, note)] : [])));
}

function row(destination, action, found) {
  const cell = (value, format = whole, kind = "") =>
    make("td", {class: `number ${value ? kind : "zero"}`}, format.format(value));
  return make("tr", {},
    make("th", {scope: "row"}, action),
    cell(found.waiting.window || 0),
    cell(found.waiting.delivery || 0),
    cell(rate(destination, ofAction(action)), fine),
    ...OUTCOMES.map((outcome) =>
      cell(found[outcome], whole, outcome === "dead_lettered" ? "alarm" : "")));
}

/** Events a second between each two looks, as points of a line. */
function points(name) {
  const rates = history.slice(1).map((state, n) => rate(name, settled, history[n], state));
  const top = Math.max(1, ...rates);
  const start = HISTORY - rates.length;
  return rates.map((value, n) => `${start + n},${97 - (94 * value) / top}`).join(" ");
}

/** Median and 95th percentile of the last minute, or of all where nothing was delivered then. */
function latency(found) {
  const past = before(LATENCY_SECONDS).destinations.find((each) => each.name === found.name);
  const since = found.latency.map(([bound, count], n) => [bound, count - (past ? past.latency[n][1] : 0)]);
  const recent = since.length > 0 && since.at(-1)[1] > 0;
  const buckets = recent ? since : found.latency;
  if (!buckets.length || !buckets.at(-1)[1]) return {recent: true, median: "\u2013", high: ""};
  return {recent, median: quantile(buckets, 0.5), high: quantile(buckets, 0.95)};
}

function quantile(buckets, share) {
  const wanted = share * buckets.at(-1)[1];
  const n = buckets.findIndex(([, count]) => count >= wanted);
  const [bound, count] = buckets[n];
  const [low, under] = n ? buckets[n - 1] : [0, 0];
  if (bound === null) return `over ${seconds(low)}`;
  return seconds(low + ((bound - low) * (wanted - under)) / (count - under || 1));
}

function seconds(value) {
  return value < 1 ? `${whole.format(value * 1000)} ms` : `${fine.format(value)} s`;
}

// -- the token

let isGuarded = null;

function guard(guarded) {
  if (guarded === isGuarded) return;
  isGuarded = guarded;
  unlocked(guarded && Boolean(sessionStorage.getItem(TOKEN)));
  if (guarded && sessionStorage.getItem(TOKEN)) readLetters();
}

function unlocked(open) {
  byId("token-form").hidden = open || !isGuarded;
  byId("lock").hidden = !open;
  for (const element of document.querySelectorAll(".open")) element.hidden = !open;
  for (const element of document.querySelectorAll(".locked")) {
    element.hidden = open;
    element.textContent = isGuarded ? "Needs the token: enter it above."
      : "Not here: this worker was started without STREAMS_WEB_TOKEN, and shows counts only.";
  }
}

function lock(why = "") {
  sessionStorage.removeItem(TOKEN);
  byId("letters-table").tBodies[0].replaceChildren();
  byId("letters-table").hidden = true;
  for (const id of ["person-found", "try-found"]) byId(id).replaceChildren();
  for (const id of ["letters-said", "person-said", "try-said"]) say(byId(id), "");
  byId("person-form").reset();
  unlocked(false);
  say(byId("token-said"), why, true);
}

byId("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, byId("token").value.trim());
  byId("token").value = "";
  say(byId("token-said"), "");
  unlocked(true);
  byId("lock").focus();
  await readLetters();
  if (!sessionStorage.getItem(TOKEN)) byId("token").focus();
});
byId("lock").addEventListener("click", () => {
  lock();
  byId("token").focus();
});

/** Do what a button asks for, and say how it went. */
async function busily(button, place, work) {
  button.disabled = true;
  say(place, "\u2026");
  try {
    say(place, (await work()) || "");
  } catch (error) {
    say(place, error.message, true);
  } finally {
    button.disabled = false;
  }
}

// -- dead letters

const lettersSaid = byId("letters-said");
const letterBody = byId("letters-table").tBodies[0];

function readLetters() {
  return busily(byId("letters-read"), lettersSaid, listLetters);
}

async function listLetters() {
  const {letters, more} = await ask("dead-letters");
  letterBody.replaceChildren(...letters.map(letterRow));
  byId("letters-table").hidden = !letters.length;
  if (!letters.length) return "there are none";
  return more ? `the newest ${letters.length}; more: streams dlq ls` : `${letters.length}, the newest first`;
}

function letterRow(letter) {
  const what = `dead letter ${letter.id}`;
  const view = make("button", {type: "button", class: "quiet", "aria-expanded": "false",
    "aria-label": `View ${what}`}, "View");
  const redrive = make("button", {type: "button", "aria-label": `Redrive ${what}`}, "Redrive");
  const person = letter.people[0] || "";
  const tr = make("tr", {"data-id": letter.id},
    make("td", {}, time(letter.buriedAt)),
    make("td", {}, letter.stage),
    make("td", {}, letter.action || ""),
    make("td", {class: "text"}, make("strong", {}, letter.reason),
      letter.status ? ` ${letter.status}` : "", make("div", {class: "soft"}, letter.text)),
    make("td", {class: "person"}, person),
    make("td", {class: "do"}, view,
      letter.redrivenAt.length ? make("span", {class: "soft"}, " redriven")
        : letter.whyNot ? "" : redrive));
  view.addEventListener("click", () => viewLetter(tr, view, letter));
  redrive.addEventListener("click", () => busily(redrive, lettersSaid, async () => {
    const done = await post("redrive", JSON.stringify({ids: [letter.id]}));
    const outcome = done.redriven ? `${what} was sent through again`
      : done.refused.length ? `${what} cannot be redriven: ${done.refused[0].why}`
        : done.missing.length ? `${what} is gone` : `${what} was redriven before`;
    await listLetters();
    byId("letters-read").focus();
    return outcome;
  }));
  return tr;
}

async function viewLetter(tr, view, letter) {
  if (view.getAttribute("aria-expanded") === "true") {
    tr.nextElementSibling.remove();
    view.setAttribute("aria-expanded", "false");
    return;
  }
  await busily(view, lettersSaid, async () => {
    const found = await ask(`dead-letters/${letter.id}`);
    const {topic, partition, offset, producedAt} = found.source;
    const value = found.value ?? (found.valueBase64 ? `${found.valueBase64} (Base64)` : null);
    const cell = make("td", {colspan: tr.cells.length},
      make("p", {}, `${topic}[${partition}]@${offset}, produced ${producedAt}`,
        found.destination ? `, for ${found.destination}` : "",
        found.tries ? `, try ${found.tries + 1}` : ""));
    if (found.whyNot) cell.append(make("p", {}, `Cannot be redriven: ${found.whyNot}`));
    if (found.excerpt) cell.append(make("p", {}, "Answer: ", found.excerpt));
    cell.append(make("pre", {tabindex: "0"}, value === null ? `${found.bytes} bytes: see streams dlq show ${found.id}`
      : pretty(value)));
    if (found.value) {
      cell.append(make("button", {type: "button", class: "quiet", onclick: () => {
        byId("try-event").value = pretty(found.value);
        byId("try-event").focus();
      }}, "Try it against the mappings"));
    }
    tr.after(make("tr", {}, cell));
    view.setAttribute("aria-expanded", "true");
  });
  view.focus();
}

byId("letters-read").addEventListener("click", readLetters);

function time(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? text : make("time", {datetime: text, title: text},
    at.toLocaleString([], {dateStyle: "short", timeStyle: "medium"}));
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// -- a person

byId("person-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const place = byId("person-found");
  place.replaceChildren();
  busily(event.submitter, byId("person-said"), async () => {
    const id = byId("person-id").value;
    const found = await post("identity", JSON.stringify({id}));
    if (!found.device && !found.user) return `nothing is known of ${id}`;
    place.append(...(found.device ? device(found.device) : []), ...(found.user ? user(found.user) : []));
    return `known as ${[found.device && "a device", found.user && "a user"].filter(Boolean).join(" and ")}`;
  });
});

const placed = ({partition, offset}) => `[${partition}]@${offset}`;
const heldBy = (taught) => [taught.messageId || "", placed(taught.since), taught.until ? placed(taught.until) : ""];
const login = (kind, found) => [kind, found.userId || "nobody", found.email || "", ...heldBy(found)];
const alias = (found) => ["alias", `${found.previousId} \u2192 ${found.userId}`, "", ...heldBy(found)];

function device(found) {
  return facts("As a device", [
    ["belongs to", found.userId || "nobody", found.email || "", "", "", ""],
    login("logged in", found.login),
    ...found.aliases.map(alias),
    ...found.earlier.toReversed().map((each) => login("earlier", each)),
  ]);
}

function user(found) {
  return facts("As a user", [
    ["is now", found.userId, "", "", "", ""],
    ...found.aliases.map(alias),
    ...found.formerIds.map((each) => [each.until ? "once was" : "was", each.previousId, "", ...heldBy(each)]),
    ...found.devices.map((each) =>
      [each.until ? "earlier on" : "device", each.anonymousId, each.email || "", ...heldBy(each)]),
  ]);
}

function facts(title, rows) {
  const heads = ["What", "Id", "Email", "Taught by", "Since", "Until"];
  return [make("h4", {}, title), make("div", {class: "wide", tabindex: "0", role: "region", "aria-label": title},
    make("table", {},
      make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", {scope: "col"}, text)))),
      make("tbody", {}, ...rows.map(([kind, ...cells]) => make("tr", {},
        make("th", {scope: "row"}, kind), ...cells.map((text) => make("td", {}, text)))))))];
}

// -- an event

byId("try-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const place = byId("try-found");
  place.replaceChildren();
  busily(event.submitter, byId("try-said"), async () => {
    const {requests, error, outcome} = await post("explain", byId("try-event").value);
    for (const {method, url, headers, body} of requests) {
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
      place.append(make("h4", {}, `${method} ${url}`),
        make("pre", {tabindex: "0"}, [...lines, "", JSON.stringify(body, null, 2)].join("\n")));
    }
    if (error) place.append(make("p", {class: "failed"}, error));
    const count = requests.length === 1 ? "1 request" : `${requests.length} requests`;
    return outcome === "filtered" ? "filtered: no subscription takes it" : count;
  });
});

poll();
