// The page at "/": it follows one channel over a WebSocket, shows what arrives, and publishes.
// Whatever comes from the relay is shown with textContent only.

const ui = new Proxy({}, { get: (_, id) => document.getElementById(id) });
const make = (tag, text = "", cls = "") => Object.assign(document.createElement(tag), { textContent: text, className: cls });

let token = document.querySelector("meta[name=weir-token]").content;
const dev = token !== ""; // in development the relay puts a token into the page
let mayConnect = dev; // a person has said with what token

const maxRows = 200; // changes shown
const maxItems = 300; // items shown
const pingEvery = 10_000; // ms; a ping without an answer by the next one means that the relay is gone

// ---- channels ----

// Follow is a channel that the page follows: where it stands and what lives in it.
class Follow {
	epoch = ""; // unknown: the next subscribe asks for a snapshot
	seq = 0;
	state = new Map(); // data by group and key
	ready = false; // subscribed, and the answer has come
	constructor(name) { this.name = name; }
	// take applies a change. One that is known already, as after subscribing again, is passed over.
	take(c) {
		if (c.seq <= this.seq) return false;
		this.seq = c.seq;
		const items = this.state.get(c.group) ?? new Map();
		if (c.op === "set") this.state.set(c.group, items.set(c.key, c.data));
		if (c.op === "delete" && items.delete(c.key) && items.size === 0) this.state.delete(c.group);
		return true;
	}
	stand({ epoch, seq }) { Object.assign(this, { epoch, seq }); }
	replace(position, state) {
		this.stand(position);
		this.state = new Map(Object.entries(state).map(([group, items]) => [group, new Map(Object.entries(items))]));
	}
}

let main = null; // the channel that was asked for
let own = null; // the user's own, which the relay subscribes by itself
let people = null; // who is in main
const all = () => [...new Set([main, own, people])].filter(Boolean);
const followed = (name) => all().find((f) => f.name === name);
const goodName = (s) => /^[\w\-.:/@~=]{1,255}$/.test(s) && s[0] !== ".";

// userChannel is how the relay names a user's own channel.
const userChannel = (id) => "user:" + Array.from(new TextEncoder().encode(id), (b) => {
	const c = String.fromCharCode(b);
	return /[\w\-.:/@~]/.test(c) ? c : "=" + b.toString(16).toUpperCase().padStart(2, "0");
}).join("");

// ---- connection ----

let socket = null;
let open = false; // the relay has said who we are
let userId = "";
let tries = 0; // connections in a row that did not last
let retry = 0; // timer of the next one
let nextId = 1;
let pinged = 0; // when a ping without an answer was sent
const waiting = new Map(); // what to do with the answer, by id

const final = [1000, 1002, 1003, 1007, 1009, 4003]; // close codes after which trying again is no use
const busy = [1008, 1013, 4029]; // the relay wants to be left alone for a while

function connect() {
	clearTimeout(retry);
	if (socket) return;
	if (!mayConnect) return askToken("This relay needs a token");
	say("waiting", "Connecting");
	let since = 0;
	const ws = socket = new WebSocket(location.origin.replace("http", "ws") + "/ws", token ? ["weir", "token." + token] : ["weir"]);
	ws.onopen = () => { since = performance.now(); };
	ws.onmessage = (e) => {
		const before = received.changes;
		handle(JSON.parse(e.data));
		if (received.changes > before) received.frames++;
		draw();
	};
	ws.onclose = (e) => {
		if (socket !== ws) return;
		drop();
		if (!since) return refused();
		if (performance.now() - since > 5000) tries = 0;
		ended(e.code, e.reason);
	};
}

// drop forgets the connection and everything that waits for it.
function drop() {
	socket?.close();
	socket = null;
	open = false;
	pinged = 0;
	for (const f of all()) f.ready = false;
	const left = [...waiting.values()];
	waiting.clear();
	for (const then of left) then({ type: "error", message: "The connection was lost before the answer came." });
}

// ended does what a close code asks for.
function ended(code, reason) {
	const why = reason ? `${reason} (${code})` : `code ${code}`;
	if (code === 4001) askToken("Another token is needed: " + why);
	else if (final.includes(code)) say("stopped", "Closed by the relay: " + why);
	else if (code === 4100) again(Number(/retry=(\d+)/.exec(reason)?.[1] ?? 1000), "The relay is restarting");
	else again(backoff(busy.includes(code) ? 5000 : 500), "Connection lost: " + why);
}

// refused finds out why an upgrade failed, which a browser does not tell: event streams are refused alike.
async function refused() {
	say("waiting", "Not connected");
	const stop = new AbortController();
	const headers = token ? { Authorization: "Bearer " + token } : {};
	const status = await fetch("/sse", { headers, signal: stop.signal }).then((r) => r.status, () => 0);
	stop.abort();
	if (socket) return;
	if (status === 401) askToken("The relay does not accept this token");
	else if (status === 403) say("stopped", "This page may not connect to the relay");
	else if (status === 429 || status === 503) again(backoff(5000), "The relay is busy");
	else again(backoff(500), status ? "Not connected" : "The relay cannot be reached");
}

// backoff is a random time: pages that lost the same relay do not return at the same moment.
function backoff(from) {
	const most = Math.min(from * 2 ** tries++, 30_000);
	return most / 2 + Math.random() * most / 2;
}

function again(ms, why) {
	say("waiting", `${why}, next try in ${ms < 950 ? "a moment" : Math.round(ms / 1000) + " s"}`);
	retry = setTimeout(connect, ms);
}

function askToken(why) {
	say("stopped", why + (dev ? "; reload the page for a fresh one" : ""));
	showToken(true);
}

// call sends a command; then gets its answer, in order with everything else that arrives.
function call(command, then = () => {}) {
	waiting.set(nextId, then);
	socket.send(JSON.stringify({ ...command, id: nextId++ }));
}

function handle(m) {
	const f = followed(m.channel);
	switch (m.type) {
		case "connected": return connected(m);
		case "channel_update": return change(f, m);
		case "update": return change(own, m);
		case "batch": return m.messages.forEach((one) => (m.channel ? change(f, one) : handle(one)));
		case "resync":
			if (!f?.ready) return;
			f.replace(m.position, m.state);
			if (f === main) push({ note: `Resynchronised at ${f.seq}.` + (m.lost ? " Some sends may have been missed." : "") });
			return reshow(f);
		case "unsubscribed":
			if (f) f.ready = false;
			if (f === main) push({ note: `Access to ${m.channel} was taken away: ${m.reason}` });
			return;
	}
	const then = waiting.get(m.id);
	waiting.delete(m.id);
	if (then) then(m);
	else if (m.type === "error") push({ note: "Error: " + m.message });
}

function connected(m) {
	if (userId !== m.userId) own = null;
	userId = m.userId;
	open = true;
	ui.user.textContent = userId ? "as " + userId : "anonymous";
	number("window", m.window, "ms");
	say("open", "Connected");
	ping();
	if (m.position && !own) {
		const name = userChannel(userId);
		own = name === main.name ? main : new Follow(name);
		if (own !== main) own.stand(m.position);
		own.ready = own !== main;
	} else if (own && own !== main) subscribe(own); // what came while we were away
	subscribe(main);
	if (people) subscribe(people);
}

// subscribe asks for a channel from where the page stands in it.
function subscribe(f) {
	const { name, epoch, seq } = f;
	call({ type: "subscribe", channel: name, position: epoch ? { epoch, seq } : undefined }, (a) => {
		if (f !== followed(name)) return;
		if (a.type === "error") {
			if (f === main && open) push({ note: `Not following ${name}: ${a.message}` });
			return;
		}
		f.ready = true;
		if (a.recovered) a.changes.forEach((c) => change(f, c));
		else f.replace(a.position, a.state);
		f.stand(a.position);
		reshow(f);
		if (f !== main) return;
		if (a.recovered) push({ note: `Resumed after ${seq}: ${a.changes.length ? a.changes.length + " missed, all here" : "nothing missed"}.` });
		else push({ note: `Following ${name} from ${f.seq}.` + (a.lost ? " Some sends from before may have been missed." : "") });
	});
}

// change shows a change of a channel. What comes before the answer to a subscribe is part of that answer.
function change(f, c) {
	if (!f?.ready || !f.take(c)) return;
	if (f === people) return reshow(f);
	received.changes++;
	if (f === main && c.op !== "send") dirty.add(c.group + "\0" + c.key);
	unsaid++;
	lastSaid = `${c.op} ${c.key ?? ""} ${asText(c.data).slice(0, 80)}`;
	push({ f, c, at: new Date() });
}

function ping() {
	if (!open) return;
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
const dirty = new Set(); // items to show again, by group and key
const shown = new Map(); // list entries of items, likewise
const mine = new Set(); // positions of changes of this page
let rows = []; // waiting to be shown, oldest first
let stale = false; // all items are to be shown again
let paused = false;
let drawing = false;
let unsaid = 0; // changes that were not announced yet
let lastSaid = "";

function say(state, text) {
	ui.status.dataset.state = state;
	ui.status.firstElementChild.textContent = text;
	ui.toggle.textContent = socket ? "Disconnect" : "Connect";
	draw();
}

function number(id, value, unit) {
	ui[id].replaceChildren(`${value} `, make("small", unit));
}

function asText(data) {
	const s = typeof data === "string" ? data : JSON.stringify(data) ?? "";
	return s.length > 2000 ? s.slice(0, 2000) + "…" : s;
}

function push(row) {
	rows.push(row);
	if (rows.length > maxRows) rows.shift();
	draw();
}

// reshow is for a state that was replaced.
function reshow(f) {
	if (f === main) stale = true;
	if (f === people) drawPeople();
	draw();
}

// draw puts showing off to the next frame: a busy channel costs one update a frame.
function draw() {
	if (drawing) return;
	drawing = true;
	requestAnimationFrame(() => {
		drawing = false;
		if (!paused) drawRows();
		ui.held.textContent = paused && rows.length ? rows.length + " held" : "";
		drawItems();
		ui.go.disabled = !open;
		if (main.ready) number("position", main.seq, "in " + main.epoch.slice(-6));
		number("received", received.changes, `in ${received.frames} frame${received.frames === 1 ? "" : "s"}`);
	});
}

function drawRows() {
	const fresh = rows.map(({ note, f, c, at }) => {
		if (note) return make("li", note, "note");
		const li = make("li", "", "fresh");
		const what = make("span", "", "what");
		if (f !== main) what.append(make("b", f.name));
		if (c.key) what.append(make("b", c.group === "items" ? c.key : c.group + "/" + c.key));
		if (c.op !== "delete") what.append(make("code", asText(c.data)));
		else if (c.cause) what.append(make("span", c.cause, "muted"));
		li.append(make("span", c.op, "op " + c.op), what, make("span", `${c.seq} · ${at.toLocaleTimeString([], { hour12: false })}`, "when"));
		li.dataset.at = f.epoch + ":" + c.seq;
		if (mine.has(li.dataset.at)) li.classList.add("mine");
		return li;
	});
	rows = [];
	if (fresh.length) ui.changes.prepend(...fresh.reverse());
	while (ui.changes.childElementCount > maxRows) ui.changes.lastElementChild.remove();
	ui.quiet.hidden = Boolean(ui.changes.querySelector(".fresh"));
}

function drawItems() {
	if (stale) {
		ui.state.replaceChildren();
		shown.clear();
		dirty.clear();
		for (const [group, items] of main.state) for (const key of items.keys()) drawItem(group, key, "");
	}
	stale = false;
	for (const name of dirty) drawItem(...name.split("\0"), "fresh");
	dirty.clear();
	let count = 0;
	for (const items of main.state.values()) count += items.size;
	ui.items.textContent = count ? `${count} item${count === 1 ? "" : "s"}${count > shown.size ? `, ${shown.size} shown` : ""}` : "";
	ui.bare.hidden = count > 0;
}

function drawItem(group, key, cls) {
	const name = group + "\0" + key;
	let li = shown.get(name);
	if (!main.state.get(group)?.has(key)) {
		shown.delete(name);
		const list = li?.parentElement;
		li?.remove();
		if (list?.childElementCount === 0) list.parentElement.remove();
		return;
	}
	if (!li) {
		if (shown.size >= maxItems) return;
		li = make("li");
		const button = make("button");
		Object.assign(button, { type: "button", title: "Put into the form", onclick: () => edit(group, key) });
		button.append(make("b", key), make("code"));
		li.append(button);
		shown.set(name, li);
		groupList(group).append(li);
	}
	li.querySelector("code").textContent = asText(main.state.get(group).get(key));
	li.className = "";
	if (cls) requestAnimationFrame(() => { li.className = cls; });
}

function groupList(group) {
	let section = [...ui.state.children].find((s) => s.dataset.group === group);
	if (!section) {
		section = make("section");
		section.dataset.group = group;
		section.append(make("h3", group), make("ul"));
		ui.state.append(section);
	}
	return section.lastElementChild;
}

function drawPeople() {
	const users = [...(people?.state.get("users")?.values() ?? [])];
	const chips = users.slice(0, 20).map((u) => make("span", (u.name || u.id) + (u.id === userId ? " (you)" : "")));
	ui.people.hidden = users.length === 0;
	ui.people.replaceChildren(`${users.length} here now`, ...chips);
}

// ---- publishing ----

const hints = { send: "an event, kept in the log only", set: "an item that stays", delete: "removes an item" };
const op = () => ui.publish.elements.op.value;

// parse takes what was typed as JSON if it is that, else as text.
function parse(text) {
	try {
		return { json: true, value: JSON.parse(text) };
	} catch {
		return { json: false, value: text };
	}
}

function publication() {
	const p = { channel: main.name };
	if (op() !== "send") Object.assign(p, { group: ui.group.value || undefined, key: ui.key.value });
	if (op() === "delete") p.op = "delete";
	else p.data = parse(ui.text.value).value;
	if (op() === "set" && ui.ttl.value) p.ttl = Math.round(ui.ttl.valueAsNumber * 1000);
	return p;
}

// form shows the fields of the operation, and the same for a backend.
function form() {
	const kind = op();
	const text = ui.text.value;
	ui.item.hidden = ui.key.disabled = ui.group.disabled = kind === "send";
	ui.life.hidden = ui.ttl.disabled = kind !== "set";
	ui.data.hidden = kind === "delete";
	ui.ophint.textContent = hints[kind];
	ui.datahint.textContent = kind === "delete" || !text ? "" : parse(text).json ? "Goes out as JSON" : "Goes out as text";
	ui.go.textContent = kind === "delete" ? "Delete" : "Publish";
	const body = publication();
	if (kind !== "delete" && !text) body.data = "hello";
	if (kind !== "send" && !body.key) body.key = "k1";
	const auth = dev ? "'Authorization: Bearer dev'" : '"Authorization: Bearer $WEIR_API_KEY"';
	ui.curl.textContent = `curl ${location.origin}/v1/publish \\\n  -H ${auth} \\\n  -H 'Content-Type: application/json' \\\n` +
		`  -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
}

function edit(group, key) {
	const value = main.state.get(group)?.get(key);
	ui.publish.elements.op.value = "set";
	ui.group.value = group === "items" ? "" : group;
	ui.key.value = key;
	ui.text.value = typeof value === "string" && !parse(value).json ? value : JSON.stringify(value);
	form();
	ui.text.focus();
}

function answer(text, bad) {
	ui.answer.textContent = text;
	ui.answer.className = bad ? "bad" : "";
}

ui.publish.onsubmit = (e) => {
	e.preventDefault();
	if (!open) return answer("Not connected.", true);
	if (op() !== "delete" && !ui.text.value) return answer("Data is empty.", true);
	const asked = performance.now();
	const sent = op() === "send" && ui.text.value;
	call({ type: "publish", ...publication() }, (a) => {
		if (a.type === "error") return answer(a.message, true);
		answer(`Change ${a.position.seq}, accepted after ${(performance.now() - asked).toFixed(1)} ms`);
		const at = a.position.epoch + ":" + a.position.seq;
		if (mine.add(at).size > maxRows) mine.delete(mine.values().next().value);
		ui.changes.querySelector(`[data-at="${CSS.escape(at)}"]`)?.classList.add("mine");
		if (ui.text.value === sent) ui.text.value = "";
		form();
	});
};
ui.publish.oninput = () => {
	answer("");
	form();
};
ui.text.onkeydown = (e) => {
	if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
	e.preventDefault();
	ui.publish.requestSubmit();
};

// ---- the rest of the page ----

// choose follows the channel that the address names.
function choose() {
	const asked = new URLSearchParams(location.hash.slice(1)).get("channel") ?? "";
	const name = goodName(asked) ? asked : main?.name ?? "demo:lobby";
	if (main?.name !== name) {
		for (const old of [main, people]) if (old?.ready && old !== own) call({ type: "unsubscribe", channel: old.name });
		main = name === own?.name ? own : new Follow(name);
		main.epoch = ""; // its state is wanted too
		people = goodName("presence:" + name) && !name.startsWith("presence:") ? new Follow("presence:" + name) : null;
		document.title = name + " · weir";
		ui.position.textContent = "–";
		for (const f of [main, people].filter(Boolean)) {
			reshow(f);
			if (open) subscribe(f);
		}
	}
	ui.channel.value = name;
	form();
}

function showToken(show) {
	ui.tokenform.hidden = !show;
	ui.tokentoggle.setAttribute("aria-expanded", show);
	if (show) ui.token.focus();
}

ui.channelform.onsubmit = (e) => {
	e.preventDefault();
	location.hash = "channel=" + ui.channel.value;
};
ui.tokenform.onsubmit = (e) => {
	e.preventDefault();
	token = ui.token.value.trim();
	mayConnect = true;
	ui.token.value = "";
	showToken(false);
	drop();
	tries = 0;
	connect();
};
ui.tokentoggle.onclick = () => showToken(ui.tokenform.hidden);
ui.toggle.onclick = () => {
	clearTimeout(retry);
	tries = 0;
	if (!socket) return connect();
	drop();
	say("stopped", "Disconnected. Connecting again resumes from here.");
};
ui.pause.onclick = () => {
	paused = !paused;
	ui.pause.setAttribute("aria-pressed", paused);
	draw();
};
ui.copy.onclick = async () => {
	try {
		await navigator.clipboard.writeText(ui.curl.textContent);
		ui.copy.textContent = "Copied";
		setTimeout(() => { ui.copy.textContent = "Copy"; }, 1500);
	} catch { // refused over plain HTTP: select it instead
		getSelection().selectAllChildren(ui.curl);
	}
};
addEventListener("hashchange", choose);
addEventListener("online", () => { if (ui.status.dataset.state === "waiting") connect(); });
setInterval(ping, pingEvery);
// A screen reader hears of changes now and then.
setInterval(() => {
	if (unsaid) ui.news.textContent = unsaid === 1 ? lastSaid : `${unsaid} changes, the last: ${lastSaid}`;
	unsaid = 0;
}, 4000);

choose();
connect();
