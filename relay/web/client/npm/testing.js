// src/short.ts
var { min, max, random } = Math;
var { parse, stringify } = JSON;
var { assign, entries } = Object;

// src/text.ts
var inserts = (p) => typeof p === "string";
var skips = (p) => typeof p === "number";
var deletes = (p) => typeof p === "object";
var size = (p) => inserts(p) ? p.length : skips(p) ? p : p.d;
var add = (op, p) => {
  const n = size(p);
  const last = op.at(-1);
  if (!n) return;
  if (typeof p !== typeof last) op.push(p);
  else op[op.length - 1] = deletes(p) ? { d: n + size(last) } : last + p;
};
var cut = (p, from, to) => inserts(p) ? p.slice(from, to) : skips(p) ? to - from : { d: to - from };
var walk = (op, other, whole2, insert, each) => {
  const out = [];
  const rest = [...op];
  for (const p of other) {
    if (inserts(p)) insert(p, out, rest);
    else
      for (let n = size(p); n > 0; ) {
        let part = rest.shift() ?? n;
        if (!whole2(part)) {
          const m = size(part);
          if (m > n) {
            rest.unshift(cut(part, n, m));
            part = cut(part, 0, n);
          }
          n -= m;
        }
        add(out, each(p, part));
      }
  }
  rest.forEach((p) => add(out, p));
  return skips(out.at(-1)) ? out.slice(0, -1) : out;
};
var transform = (op, other, left) => walk(op, other, inserts, (p, out, rest) => {
  if (left && inserts(rest[0])) add(out, rest.shift());
  add(out, p.length);
}, (p, part) => skips(p) || inserts(part) ? part : 0);
function edits(op) {
  const out = [];
  let at = 0;
  for (const p of op) {
    if (!skips(p)) {
      if (out.at(-1)?.to !== at) out.push({ from: at, to: at, insert: "" });
      if (inserts(p)) out.at(-1).insert += p;
      else out.at(-1).to += p.d;
    }
    if (!inserts(p)) at += size(p);
  }
  return out;
}
var patch = (text, op) => edits(op).reduceRight((t, e) => t.slice(0, e.from) + e.insert + t.slice(e.to), text);
var points = (s) => [...s].length;
var units = (text, n, at = 0) => {
  const from = at;
  while (n-- > 0) at += text.codePointAt(at) > 65535 ? 2 : 1;
  return at - from;
};
var recount = (op, count2) => {
  let at = 0;
  return op.map((p) => {
    if (inserts(p)) return p;
    const n = size(p);
    const counted = count2(n, at);
    at += max(n, counted);
    return skips(p) ? counted : { d: counted };
  });
};
var toPoints = (op, text) => recount(op, (n, at) => points(text.slice(at, at + n)));
var toUnits = (op, text) => recount(op, (n, at) => units(text, n, at));

// src/testing.ts
var kept = 256;
var subject = (token) => {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub;
  } catch {
    return token;
  }
};
var count = 0;
function fakeRelay() {
  const logs = /* @__PURE__ */ new Map();
  const texts = /* @__PURE__ */ new Map();
  const sessions = /* @__PURE__ */ new Set();
  const keys = /* @__PURE__ */ new Map();
  const refused = /* @__PURE__ */ new Set();
  const said = [];
  let decide = () => void 0;
  let reply = () => null;
  let up = true;
  let delay = 0;
  let lifetime;
  const way = () => {
    const going = [];
    const wait = () => {
      const ms = going[0].at - Date.now();
      ms > 0 ? setTimeout(next, ms) : queueMicrotask(next);
    };
    const next = () => {
      const { arrive } = going.shift();
      if (going.length) wait();
      arrive();
    };
    return (arrive) => {
      if (going.push({ at: Date.now() + delay, arrive }) === 1) wait();
    };
  };
  const log = (channel) => {
    let l = logs.get(channel);
    if (!l) logs.set(channel, l = { epoch: "e" + ++count, seq: 0, changes: [], items: /* @__PURE__ */ new Map(), timers: /* @__PURE__ */ new Map(), sessions: /* @__PURE__ */ new Set() });
    return l;
  };
  const at = ({ epoch, seq }) => ({ epoch, seq });
  const items = (l) => Object.fromEntries([...l.items].map(([group, items2]) => [group, Object.fromEntries(items2)]));
  const publish = (channel, data, { op, group, key, ttl } = {}) => {
    const l = log(channel);
    const does = op ?? (key === void 0 ? "send" : "set");
    if (key !== void 0) group ??= "items";
    data = data === void 0 ? void 0 : JSON.parse(JSON.stringify(data));
    const change = { seq: ++l.seq, op: does, group, key, data: does === "delete" ? void 0 : data };
    l.changes.push(change);
    if (l.changes.length > kept) l.changes.shift();
    if (does !== "send") {
      const held = l.items.get(group) ?? /* @__PURE__ */ new Map();
      if (does === "delete") held.delete(key);
      else held.set(key, does === "append" ? (held.get(key) ?? "") + data : data);
      held.size ? l.items.set(group, held) : l.items.delete(group);
      const timer = group + "/" + key;
      if (does !== "append" || ttl) {
        clearTimeout(l.timers.get(timer));
        l.timers.delete(timer);
      }
      if (ttl) l.timers.set(timer, setTimeout(() => publish(channel, void 0, { op: "delete", group, key }), ttl));
    }
    const m = { type: "channel_update", channel, ...change };
    for (const s of l.sessions) s.say(m);
    return at(l);
  };
  const misplaced = (channel, { data, group = "items", key, offset }) => {
    const text = log(channel).items.get(group)?.get(key) ?? "";
    if (key === void 0 || typeof data !== "string") return { code: "bad_request", message: "an append needs a key, and text" };
    if (typeof text !== "string") return { code: "not_text", message: "the item is no text" };
    const { length } = [...text];
    return offset !== void 0 && offset !== length && { code: "wrong_offset", message: `the text has ${length} code points: offset must be ${length}`, offset: length };
  };
  const present = (channel) => Object.values(items(log("presence:" + channel)).users ?? {});
  const attend = (channel, user) => {
    if (channel.startsWith("presence:") || !user) return;
    const n = [...log(channel).sessions].filter((s) => s.user === user).length;
    const was = present(channel).find((u) => u.id === user);
    if (!n) return void (was && publish("presence:" + channel, void 0, { op: "delete", group: "users", key: user }));
    publish("presence:" + channel, { id: user, name: user, avatar: "", status: "online", joinedAt: was?.joinedAt ?? Date.now(), connections: n }, { group: "users", key: user });
  };
  const leave = (channel, s) => {
    if (log(channel).sessions.delete(s)) attend(channel, s.user);
  };
  const session = (s, query) => {
    let timer;
    const lives = () => {
      clearTimeout(timer);
      if (lifetime) timer = setTimeout(() => s.end(4001, "token expired"), lifetime);
    };
    const subscribe = (channel, id, position) => {
      const l = log(channel);
      const first = l.changes[0]?.seq ?? l.seq + 1;
      const recovered = !!position && position.epoch === l.epoch && position.seq <= l.seq && position.seq + 1 >= first;
      l.sessions.add(s);
      attend(channel, s.user);
      s.say({
        type: "subscribed",
        id,
        channel,
        position: at(l),
        recovered,
        ...recovered ? { changes: l.changes.filter((c) => c.seq > position.seq) } : { state: items(l), lost: !!position }
      });
    };
    s.hear = (m) => {
      const { type, id, channel } = m;
      const ok = (more = {}) => s.say({ type: "ok", id, ...more });
      const code = type !== "ping" && decide(m, s.user);
      if (code) return s.say({ type: "error", id, code, message: "refused by the test: " + code, retryable: false });
      switch (type) {
        case "ping":
          return s.say({ type: "pong", id });
        case "refresh":
          s.token = m.token;
          lives();
          return ok({ expiresIn: lifetime });
        case "subscribe":
          return subscribe(channel, id, m.position);
        case "unsubscribe":
          leave(channel, s);
          return ok();
        case "publish": {
          const known = m.idempotencyKey && keys.get(m.idempotencyKey);
          if (known) return ok({ position: known });
          const wrong = m.op === "append" && misplaced(channel, m);
          if (wrong) return s.say({ type: "error", id, retryable: false, ...wrong });
          ok({ position: { ...at(log(channel)), seq: log(channel).seq + 1 } });
          return void keys.set(m.idempotencyKey, publish(channel, m.data, m));
        }
        case "history": {
          const all = log(channel).changes.filter((c) => c.seq < (m.before ?? Infinity));
          const changes = all.slice(-(m.limit ?? 100));
          return s.say({ type: "history", id, changes, more: changes.length < all.length });
        }
        case "presence":
          return s.say({ type: "presence", id, users: present(channel) });
        case "call":
          return void Promise.resolve().then(() => reply(m.method, m.data, s.user)).then(
            (data) => s.say({ type: "result", id, data }),
            (err) => s.say({ type: "error", id, code: "call_failed", message: "" + err, retryable: false })
          );
      }
      ok();
    };
    s.over = () => {
      clearTimeout(timer);
      for (const channel of [...logs.keys()]) leave(channel, s);
    };
    lives();
    const channels = query.getAll("channel");
    const own = s.user ? "user:" + s.user : void 0;
    s.say({
      type: "connected",
      connectionId: s.id,
      userId: s.user,
      heartbeat: 25e3,
      window: 50,
      expiresIn: lifetime,
      channels: channels.length || void 0,
      limits: { message: 65536, commands: 0, subscriptions: 128, address: 4096 },
      channel: own,
      position: own && at(log(own))
    });
    channels.forEach((channel, i) => {
      const [, epoch, seq] = /^(.*):(\d+)$/.exec(query.getAll("position")[i] ?? "") ?? [];
      const m = { type: "subscribe", channel, position: epoch ? { epoch, seq: +seq } : void 0 };
      said.push(m);
      const code = decide(m, s.user);
      if (code) s.say({ type: "error", channel, code, message: "refused by the test: " + code, retryable: false });
      else subscribe(channel, void 0, m.position);
    });
  };
  const paper = (id) => {
    let t = texts.get(id);
    if (!t) texts.set(id, t = { text: "", log: [], sessions: /* @__PURE__ */ new Set() });
    return t;
  };
  const write = (t, src, id, version, operation) => {
    const before = t.log.slice(0, version).reduce((s, o) => patch(s, toUnits(o.operation, s)), "");
    let text = before;
    let mine = toUnits(operation, before);
    for (const o of t.log.slice(version)) {
      const other = toUnits(o.operation, text);
      mine = transform(mine, other, true);
      text = patch(text, other);
    }
    const entry = { src, id, version: t.log.length + 1, operation: toPoints(mine, t.text) };
    t.text = patch(t.text, mine);
    t.log.push(entry);
    for (const s of t.sessions) if (s.id !== src) s.say({ type: "operation", ...entry, connectionId: src, userId: s.user });
    return entry.version;
  };
  const collaborate = (s, id, query) => {
    const t = paper(id);
    const src = query.get("src") ?? s.id;
    t.sessions.add(Object.assign(s, { id: src }));
    s.hear = (m) => {
      if (m.type === "ping") s.say({ type: "pong", id: m.id });
      else if (m.type === "operation") {
        const done = t.log.find((o) => o.src === src && o.id === m.id);
        s.say({ type: "ok", id: m.id, version: done ? done.version : write(t, src, m.id, m.version, m.operation) });
      } else if (m.type === "cursor") {
        for (const o of t.sessions) if (o !== s) o.say({ ...m, connectionId: src, userId: s.user, name: s.user, color: "#06c" });
      }
    };
    s.over = () => void t.sessions.delete(s);
    const from = query.get("version");
    s.say({ type: "connected", connectionId: src, userId: s.user, write: true });
    s.say({ type: "document", epoch: "d", version: t.log.length, cursors: [], ...from === null ? { text: t.text } : { operations: t.log.slice(+from) } });
  };
  const WebSocket = function(address, protocols) {
    const url = new URL(address);
    const [there, back] = [way(), way()];
    let open = true;
    const socket = {
      onmessage: null,
      onclose: null,
      onerror: null,
      send(text) {
        if (open) there(() => {
          if (!open) return;
          const m = JSON.parse(text);
          if (m.type !== "ping") said.push(m);
          s.hear(m);
        });
      },
      close: () => shut(1e3, "")
    };
    const token = (protocols[1] ?? "").replace(/^token\./, "");
    const shut = (code, reason) => {
      if (!open) return;
      open = false;
      if (sessions.delete(s)) s.over();
      queueMicrotask(() => socket.onclose?.({ code, reason }));
    };
    const s = {
      user: subject(token),
      token,
      id: "c" + ++count,
      end: shut,
      hear() {
      },
      over() {
      },
      say(m) {
        const data = JSON.stringify(m);
        back(() => open && socket.onmessage?.({ data }));
      }
    };
    there(() => {
      if (!open) return;
      if (!up) return shut(1006, "offline");
      if (refused.has(token)) return shut(4001, "token expired");
      sessions.add(s);
      const document = /\/documents\/([^/]+)\/collaborate$/.exec(url.pathname);
      document ? collaborate(s, decodeURIComponent(document[1]), url.searchParams) : session(s, url.searchParams);
    });
    return socket;
  };
  const end = (code = 1006, reason = "") => [...sessions].forEach((s) => s.end(code, reason));
  return {
    url: "fake://relay",
    // nothing else can be asked there: a client that falls back to HTTP fails at once
    options: { WebSocket, token: "ann" },
    publish,
    state: (channel) => items(log(channel)),
    followers: (channel) => logs.get(channel)?.sessions.size ?? 0,
    get sessions() {
      return sessions.size;
    },
    said,
    refuse(f = () => void 0) {
      decide = f;
    },
    answer(f) {
      reply = f;
    },
    cut: end,
    offline() {
      up = false;
      end();
    },
    online() {
      up = true;
    },
    lag(ms) {
      delay = ms;
    },
    lose(channel) {
      for (const name of channel === void 0 ? [...logs.keys()] : [channel]) {
        logs.get(name)?.timers.forEach((t) => clearTimeout(t));
        logs.delete(name);
      }
      end(1012, "the relay has been started anew");
    },
    expire() {
      for (const s of [...sessions]) {
        refused.add(s.token);
        s.end(4001, "token expired");
      }
    },
    life(ms) {
      lifetime = ms;
    },
    document(id, text) {
      const t = paper(id);
      if (text !== void 0 && text !== t.text) write(t, "test", ++count, t.log.length, toPoints(whole(t.text, text), t.text));
      return t.text;
    }
  };
}
var whole = (before, after) => [...after ? [after] : [], ...before ? [{ d: before.length }] : []];
function fakeClock(start = Date.now()) {
  const real = { setTimeout, clearTimeout, setInterval, clearInterval, Date };
  let time = +start;
  let next = 0;
  const timers = /* @__PURE__ */ new Map();
  const set = (f, ms = 0, every, args) => {
    const id = ++next;
    const wait = Math.max(every ? 1 : 0, +ms || 0);
    timers.set(id, { at: time + wait, every: every ? wait : void 0, f: () => f(...args) });
    return id;
  };
  const clear = (id) => void timers.delete(id);
  class FakeDate extends real.Date {
    constructor(...x) {
      super(...x.length ? x : [time]);
    }
    static now() {
      return time;
    }
  }
  Object.assign(globalThis, {
    setTimeout: (f, ms, ...x) => set(f, ms, false, x),
    setInterval: (f, ms, ...x) => set(f, ms, true, x),
    clearTimeout: clear,
    clearInterval: clear,
    Date: FakeDate
  });
  const settle = async () => {
    for (let i = 0; i < 5; i++) await new Promise((done) => void real.setTimeout(done));
  };
  return {
    settle,
    async advance(ms) {
      const end = time + ms;
      await settle();
      for (; ; ) {
        const due = [...timers].filter(([, t2]) => t2.at <= end).sort(([i, a], [j, b]) => a.at - b.at || i - j)[0];
        if (!due) break;
        const [id, t] = due;
        time = Math.max(time, t.at);
        if (t.every) t.at += t.every;
        else timers.delete(id);
        t.f();
        await settle();
      }
      time = end;
    },
    restore: () => void Object.assign(globalThis, real)
  };
}
export {
  fakeClock,
  fakeRelay
};
