// The page at "/": it follows one channel over a WebSocket, shows what arrives, and publishes.
// Whatever comes from the relay is shown with textContent only.

const $ = (id) => document.getElementById(id);
const make = (tag, text = "", cls = "") => Object.assign(document.createElement(tag), { textContent: text, className: cls });

const given = document.querySelector("meta[name=weir-token]").content;
const dev = given !== "" && !given.startsWith("{{"); // in development the relay puts a token into the page
let token = dev ? given : "";

const maxRows = 200; // changes shown
const maxItems = 300; // items shown
const pingEvery = 10_000; // ms; a ping without an answer until the next one means that the relay is gone

// ---- channels ----

// Follow is a channel that the page follows: where it stands and what lives in it.
class Follow {
  constructor(name) {
    this.name = name;
    this.epoch = ""; // unknown: the next subscribe asks for a snapshot
    this.seq = 0;
    this.state = new Map(); // data by group and key
    this.ready = false; // subscribed, and the answer has come
  }
  stand(position) {
    this.epoch = position.epoch;
    this.seq = position.seq;
  }
  // take applies a change. A change that is known already, as after subscribing again, is passed over.
  take(c) {
    if (c.seq <= this.seq) return false;
    this.seq = c.seq;
    if (c.op === "set") {
      if (!this.state.has(c.group)) this.state.set(c.group, new Map());
      this.state.get(c.group).set(c.key, c.data);
    } else if (c.op === "delete") {
      const group = this.state.get(c.group);
      group?.delete(c.key);
      if (group?.size === 0) this.state.delete(c.group);
    }
    return true;
  }
  replace(position, state) {
    this.stand(position);
    this.state = new Map(Object.entries(state).map(([g, items]) => [g, new Map(Object.entries(items))]));
  }
}

let main = null; // the channel that was asked for
let own = null; // the user's own, which the relay subscribes by itself
let people = null; // who is in main
const followed = (name) => [main, own, people].find((f) => f?.name === name);

const goodName = (s) => /^[\w\-.:/@~=]{1,255}$/.test(s) && s[0] !== ".";

// userChannel is how the relay names a user's own channel.
const userChannel = (id) => "user:" + Array.from(new TextEncoder().encode(id), (b) => {
  const c = String.fromCharCode(b);
  return /[\w\-.:/@~]/.test(c) ? c : "=" + b.toString(16).toUpperCase().padStart(2, "0");
}).join("");

// ---- connection ----

let socket = null;
let userId = "";
let tries = 0; // connections in a row that did not last
let retry = 0; // timer of the next one
let nextId = 1;
let pinged = 0; // when the ping without an answer was sent; 0: none
const waiting = new Map(); // what to do with the answer, by id

const rest = { 1008: "the relay found this page too busy", 1013: "the relay is overloaded", 4029: "too many commands" };
const final = {
  1000: "the relay has ended the connection", 1002: "protocol error", 1003: "not understood", 1007: "bad text", 1009: "a message was too big",
  4003: "not allowed here",
};

function connect() {
  clearTimeout(retry);
  if (socket) return;
  if (!token) return askToken("This relay needs a token.");
  say("waiting", "Connecting");
  let opened = 0;
  const ws = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws", ["weir", "token." + token]);
  socket = ws;
  ws.onopen = () => { opened = performance.now(); };
  ws.onmessage = (e) => {
    received.frames++;
    handle(JSON.parse(e.data));
    draw();
  };
  ws.onclose = (e) => {
    if (socket !== ws) return;
    drop();
    if (performance.now() - opened > 5000) tries = 0;
    if (opened) ended(e.code, e.reason);
    else refused();
  };
}

// drop forgets the connection and everything that waits for it.
function drop() {
  const ws = socket;
  socket = null;
  pinged = 0;
  ws?.close();
  for (const f of [main, own, people]) if (f) f.ready = false;
  for (const then of [...waiting.values()]) then({ type: "error", message: "The connection was lost before the answer came." });
  waiting.clear();
  draw();
}

// ended decides what a close code asks for.
function ended(code, reason) {
  const why = reason ? `${reason} (${code})` : `code ${code}`;
  if (code === 4001) return askToken("The token is not valid any more: " + why + (dev ? ". Reload the page for a fresh one." : "."));
  if (final[code]) return say("stopped", `Stopped: ${final[code]}, ${why}`);
  if (code === 4100) return again(Number(/retry=(\d+)/.exec(reason)?.[1] ?? 1000), "The relay is restarting");
  if (rest[code]) return again(backoff(5000), rest[code]);
  again(backoff(500), "Connection lost");
}

// refused finds out why an upgrade failed: a browser does not tell. An event stream is refused for the same reasons.
async function refused() {
  say("waiting", "Not connected");
  const control = new AbortController();
  let status = 0;
  try {
    status = (await fetch("/sse", { headers: { Authorization: "Bearer " + token }, signal: control.signal, cache: "no-store" })).status;
  } catch { /* not reachable */ }
  control.abort();
  if (socket) return;
  if (status === 401) return askToken("The relay does not accept this token." + (dev ? " Reload the page for a fresh one." : ""));
  if (status === 403) return say("stopped", "Stopped: this page may not connect to the relay");
  if (status === 429 || status === 503) return again(backoff(5000), "The relay is busy");
  again(backoff(500), status ? "Not connected" : "The relay cannot be reached");
}

// backoff is a random time, so that pages that lost the same relay do not return at the same moment.
function backoff(from) {
  const most = Math.min(from * 2 ** tries++, 30_000);
  return most / 2 + Math.random() * most / 2;
}

function again(ms, why) {
  say("waiting", `${why}, next try in ${ms < 950 ? "a moment" : Math.round(ms / 1000) + " s"}`);
  retry = setTimeout(connect, ms);
}

function askToken(why) {
  $("token-form").hidden = false;
  $("token-toggle").setAttribute("aria-expanded", "true");
  say("stopped", why);
  $("token").focus();
}

// call sends a command; then gets its answer, in order with everything else that arrives.
function call(command, then = () => {}) {
  const id = nextId++;
  waiting.set(id, then);
  socket.send(JSON.stringify({ ...command, id }));
}

function handle(m) {
  switch (m.type) {
    case "connected": return connected(m);
    case "channel_update": return change(followed(m.channel), m);
    case "update": return change(own?.name === main.name ? main : own, m);
    case "batch":
      for (const one of m.messages) m.channel ? change(followed(m.channel), one) : handle(one);
      return;
    case "resync": {
      const f = followed(m.channel);
      if (!f?.ready) return;
      f.replace(m.position, m.state);
      reshow(f);
      if (f === main) note(`Resynchronised at ${f.seq}: ${m.lost ? "sends may have been missed" : "nothing was missed"}.`);
      return;
    }
    case "unsubscribed": {
      const f = followed(m.channel);
      if (f) f.ready = false;
      if (f === main) note(`Access to ${m.channel} was taken away: ${m.reason}`);
      return;
    }
    case "error":
      if (!waiting.has(m.id)) return note("Error: " + m.message);
  }
  const then = waiting.get(m.id);
  waiting.delete(m.id);
  then?.(m);
}

function connected(m) {
  if (userId !== m.userId) own = null;
  userId = m.userId;
  $("user").textContent = userId ? "as " + userId : "anonymous";
  $("window").textContent = m.window + " ms";
  say("open", "Connected");
  ping();
  if (m.position) {
    if (own && own !== main && own.epoch) subscribe(own);
    else {
      own = new Follow(userChannel(userId));
      own.stand(m.position);
      own.ready = true;
    }
  }
  subscribe(main);
  if (people) subscribe(people);
}

// subscribe asks for a channel from where the page stands in it.
function subscribe(f) {
  const from = f.seq;
  call({ type: "subscribe", channel: f.name, position: f.epoch ? { epoch: f.epoch, seq: f.seq } : undefined }, (a) => {
    if (f !== followed(f.name)) return;
    if (a.type === "error") {
      if (f === main && socket) note(`Not following ${f.name}: ${a.message}`);
      return;
    }
    f.ready = true;
    if (a.recovered) for (const c of a.changes) change(f, c);
    else f.replace(a.position, a.state);
    f.stand(a.position);
    reshow(f);
    if (f !== main) return;
    if (a.recovered) note(`Resumed after ${from}: ${a.changes.length ? a.changes.length + " missed, all here" : "nothing missed"}.`);
    else note(`Following ${f.name} from ${f.seq}.` + (a.lost ? " The log no longer reached back: some sends may have been missed." : ""));
  });
}

// change shows a change of a channel. What comes before the answer to a subscribe is part of that answer.
function change(f, c) {
  if (!f?.ready || !f.take(c)) return;
  if (f === people) return void (dirty.people = true);
  received.changes++;
  if (f === main && c.op !== "send") dirty.items.add(c.group + "\0" + c.key);
  arrived(f, c);
}

function ping() {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  if (pinged) {
    drop();
    return again(backoff(500), "No answer from the relay");
  }
  const at = pinged = performance.now();
  call({ type: "ping" }, (a) => {
    if (a.type !== "pong") return;
    pinged = 0;
    number("latency", (performance.now() - at).toFixed(1), "ms");
  });
}

// ---- what is shown ----

const received = { changes: 0, frames: 0 };
const dirty = { items: new Set(), all: false, people: false };
const itemRows = new Map(); // list entries by group and key
const mine = new Map(); // when this page asked for a change, by seq
let rows = []; // waiting to be shown, oldest first
let paused = false;
let drawing = false;
let unsaid = 0; // changes that were not announced yet
let lastSaid = "";

function say(state, text) {
  $("status").dataset.state = state;
  $("status").firstElementChild.textContent = text;
  const down = state === "stopped" || (state === "waiting" && !socket);
  $("toggle").textContent = down ? "Connect" : "Disconnect";
  draw();
}

function number(id, value, unit) {
  $(id).replaceChildren(`${value} `, make("small", unit));
}

const asText = (data) => {
  const s = typeof data === "string" ? data : JSON.stringify(data) ?? "";
  return s.length > 2000 ? s.slice(0, 2000) + "…" : s;
};

function note(text) {
  push({ note: text });
}

function arrived(f, c) {
  unsaid++;
  lastSaid = `${c.op} ${c.key ?? ""} ${asText(c.data).slice(0, 80)}`;
  push({ f, c, at: new Date(), now: performance.now() });
}

function push(row) {
  rows.push(row);
  if (rows.length > maxRows) rows.shift();
  draw();
}

// draw puts off showing to the next frame, so that a busy channel costs one update a frame.
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (!paused) drawRows();
    $("held").textContent = paused && rows.length ? rows.length + " held" : "";
    drawItems();
    if (dirty.people) drawPeople();
    const open = Boolean(main?.ready);
    $("publish-button").disabled = !socket || !userId;
    if (open) number("position", main.seq, "in " + main.epoch.slice(-6));
    number("received", received.changes, received.frames === 1 ? "in 1 frame" : `in ${received.frames} frames`);
  });
}

function drawRows() {
  const list = $("changes");
  const fresh = rows.map((row) => {
    if (row.note) return make("li", row.note, "note");
    const { f, c, at } = row;
    const li = make("li", "", "fresh");
    const what = make("span", "", "what");
    if (f !== main) what.append(make("b", f.name));
    if (c.key) what.append(make("b", c.group === "items" ? c.key : c.group + "/" + c.key));
    if (c.op !== "delete") what.append(make("code", asText(c.data)));
    else if (c.cause) what.append(make("span", c.cause, "muted"));
    const when = make("span", `${c.seq} · ${at.toLocaleTimeString([], { hour12: false })}`, "when");
    li.append(make("span", c.op, "op " + c.op), what, when);
    if (f === main) li.dataset.seq = f.epoch + c.seq;
    if (f === main && mine.has(f.epoch + c.seq)) li.classList.add("mine");
    return li;
  });
  rows = [];
  if (fresh.length) list.prepend(...fresh.reverse());
  while (list.childElementCount > maxRows) list.lastElementChild.remove();
  $("changes-none").hidden = Boolean(list.querySelector(".fresh"));
}

// reshow is for a state that was replaced.
function reshow(f) {
  if (f === main) dirty.all = true;
  if (f === people) dirty.people = true;
  draw();
}

function drawItems() {
  if (dirty.all) {
    $("state").replaceChildren();
    itemRows.clear();
    dirty.items.clear();
    for (const [group, items] of main.state) for (const key of items.keys()) drawItem(group, key, "");
  }
  for (const name of dirty.items) drawItem(...name.split("\0"), "fresh");
  dirty.items.clear();
  dirty.all = false;
  let count = 0;
  for (const items of main.state.values()) count += items.size;
  const over = count - itemRows.size;
  $("items").textContent = count ? count + (count === 1 ? " item" : " items") + (over > 0 ? `, ${over} not shown` : "") : "";
  $("state-none").hidden = count > 0;
}

function drawItem(group, key, cls) {
  const name = group + "\0" + key;
  const items = main.state.get(group);
  let li = itemRows.get(name);
  if (!items?.has(key)) {
    itemRows.delete(name);
    const section = li?.closest("section");
    li?.remove();
    if (section && !section.querySelector("li")) section.remove();
    return;
  }
  if (!li) {
    if (itemRows.size >= maxItems) return;
    li = make("li");
    const button = make("button");
    button.type = "button";
    button.title = "Put into the form";
    button.append(make("b", key), make("code"));
    button.onclick = () => edit(group, key);
    li.append(button);
    itemRows.set(name, li);
    groupList(group).append(li);
  }
  li.querySelector("code").textContent = asText(items.get(key));
  li.className = "";
  if (cls) requestAnimationFrame(() => { li.className = cls; });
}

function groupList(group) {
  let section = [...$("state").children].find((s) => s.dataset.group === group);
  if (!section) {
    section = make("section");
    section.dataset.group = group;
    section.append(make("h3", group), make("ul"));
    $("state").append(section);
  }
  return section.lastElementChild;
}

function drawPeople() {
  dirty.people = false;
  const users = [...(people?.state.get("users")?.values() ?? [])];
  $("people").hidden = !people?.ready || users.length === 0;
  $("people-count").textContent = users.length + " here now";
  $("people-list").replaceChildren(...users.slice(0, 12).map((u) => make("span", (u.name || u.id) + (u.id === userId ? " (you)" : ""))),
    ...(users.length > 12 ? [make("span", `and ${users.length - 12} more`)] : []));
}

// ---- publishing ----

const op = () => $("publish").elements.op.value;
const hints = { send: "an event, remembered in the log only", set: "an item that stays", delete: "removes an item" };

// data is what was typed: JSON if it is that, else text.
function data() {
  const text = $("text").value;
  try {
    return { json: true, value: JSON.parse(text) };
  } catch {
    return { json: false, value: text };
  }
}

function publication() {
  const p = { channel: main.name };
  if (op() !== "send") {
    if ($("group").value) p.group = $("group").value;
    p.key = $("key").value;
  }
  if (op() === "delete") p.op = "delete";
  else p.data = data().value;
  if (op() === "set" && $("ttl").value) p.ttl = Math.round($("ttl").valueAsNumber * 1000);
  return p;
}

function form() {
  const kind = op();
  $("item").hidden = kind === "send";
  $("key").required = kind !== "send";
  $("key").disabled = $("group").disabled = kind === "send";
  $("ttl-field").hidden = $("ttl").disabled = kind !== "set";
  $("data").hidden = kind === "delete";
  $("op-hint").textContent = hints[kind];
  const d = data();
  $("data-hint").textContent = kind === "delete" || !$("text").value ? "" : d.json ? "Goes out as JSON" : "Goes out as text";
  $("publish-button").textContent = kind === "delete" ? "Delete" : "Publish";
  const body = publication();
  if (kind !== "delete" && !$("text").value) body.data = "hello";
  if (kind !== "send" && !body.key) body.key = "k1";
  const key = dev ? "'Authorization: Bearer dev'" : '"Authorization: Bearer $WEIR_API_KEY"';
  $("curl").textContent = `curl ${location.origin}/v1/publish \\\n  -H ${key} \\\n  -H 'Content-Type: application/json' \\\n` +
    `  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
}

function edit(group, key) {
  $("publish").elements.op.value = "set";
  $("group").value = group === "items" ? "" : group;
  $("key").value = key;
  const value = main.state.get(group)?.get(key);
  $("text").value = typeof value === "string" && !/^\s*([[{"\d-]|true|false|null)/.test(value) ? value : JSON.stringify(value);
  form();
  $("text").focus();
}

function answer(text, bad) {
  $("answer").textContent = text;
  $("answer").className = bad ? "bad" : "";
}

$("publish").onsubmit = (e) => {
  e.preventDefault();
  if (!socket || !userId) return answer("Not connected.", true);
  if (op() !== "delete" && !$("text").value) return answer("Data is empty.", true);
  const asked = performance.now();
  const kind = op();
  call({ type: "publish", ...publication() }, (a) => {
    if (a.type === "error") return answer(a.message, true);
    answer(`Change ${a.position.seq}, accepted after ${(performance.now() - asked).toFixed(1)} ms`);
    const seq = a.position.epoch + a.position.seq;
    mine.set(seq, asked);
    if (mine.size > maxRows) mine.delete(mine.keys().next().value);
    $("changes").querySelector(`[data-seq="${CSS.escape(seq)}"]`)?.classList.add("mine");
    if (kind === "send") $("text").value = "";
    form();
  });
};

$("text").onkeydown = (e) => {
  if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  $("publish").requestSubmit();
};
$("publish").oninput = () => {
  answer("");
  form();
};

// ---- the rest of the page ----

// choose follows the channel that the address names.
function choose() {
  const asked = new URLSearchParams(location.hash.slice(1)).get("channel");
  const name = goodName(asked ?? "") ? asked : main?.name ?? "demo:lobby";
  if (main?.name !== name) {
    for (const old of [main, people]) if (old?.ready && old.name !== own?.name) call({ type: "unsubscribe", channel: old.name });
    main = new Follow(name);
    const near = "presence:" + name;
    people = goodName(near) && !name.startsWith("presence:") ? new Follow(near) : null;
    document.title = name + " · weir";
    $("position").textContent = "–";
    reshow(main);
    dirty.people = true;
    if (socket && userId && socket.readyState === WebSocket.OPEN) for (const f of [main, people]) if (f) subscribe(f);
  }
  $("channel").value = name;
  form();
}

$("channel-form").onsubmit = (e) => {
  e.preventDefault();
  location.hash = "channel=" + $("channel").value;
};
$("token-form").onsubmit = (e) => {
  e.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  $("token-form").hidden = true;
  $("token-toggle").setAttribute("aria-expanded", "false");
  drop();
  tries = 0;
  connect();
};
$("token-toggle").onclick = () => {
  const hide = ($("token-form").hidden = !$("token-form").hidden);
  $("token-toggle").setAttribute("aria-expanded", String(!hide));
  if (!hide) $("token").focus();
};
$("toggle").onclick = () => {
  clearTimeout(retry);
  if ($("toggle").textContent === "Connect") {
    tries = 0;
    return connect();
  }
  drop();
  say("stopped", "Disconnected. Connecting again resumes from here.");
};
$("pause").onclick = () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  draw();
};
$("clear").onclick = () => {
  rows = [];
  $("changes").replaceChildren();
  $("changes-none").hidden = false;
  draw();
};
$("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
    $("copy").textContent = "Copied";
  } catch { // not over plain HTTP to another host: select it instead
    getSelection().selectAllChildren($("curl"));
    $("copy").textContent = "Selected";
  }
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1500);
};
addEventListener("hashchange", choose);
addEventListener("online", () => { if (!socket && $("status").dataset.state === "waiting") connect(); });
setInterval(ping, pingEvery);
// A screen reader hears of changes now and then, not of every one.
setInterval(() => {
  if (unsaid === 0) return;
  $("news").textContent = unsaid === 1 ? lastSaid : `${unsaid} changes, the last: ${lastSaid}`;
  unsaid = 0;
}, 4000);

choose();
connect();
