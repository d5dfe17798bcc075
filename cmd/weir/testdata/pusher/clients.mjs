// Drives a relay with pusher-js, laravel-echo and the Node.js SDK: what the suites of the packages leave out. It runs the relay itself, so
// that it can restart it: E2E_BINARY with the configuration E2E_CONFIG on E2E_LISTEN; E2E_ID, E2E_KEY and E2E_SECRET are the app's,
// which takes 12 connections.
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import net from "node:net";
import assert from "node:assert/strict";
import Server from "pusher";
import Echo from "laravel-echo";

const require = createRequire(import.meta.url);
const Pusher = require("pusher-js");
const { E2E_BINARY: binary, E2E_CONFIG: config, E2E_LISTEN: listen, E2E_ADMIN: admin, E2E_ID: id, E2E_KEY: key, E2E_SECRET: secret } = process.env;
const [host, port] = listen.split(":");
const patience = 60_000; // after a refused connection pusher-js waits for 15 s, and then 30

const until = async (what, f) => {
  for (const late = Date.now() + patience; !(await f()); await new Promise((done) => setTimeout(done, 20))) {
    if (Date.now() > late) throw new Error(`${what}: not within ${patience / 1000} s`);
  }
};
const within = (what, promise) => {
  let late;
  return Promise.race([promise, new Promise((_, fail) => { late = setTimeout(fail, patience, new Error(`${what} did not come`)); })]).finally(() => clearTimeout(late));
};

// The relay, which ends with this process.
let relay;
const start = async (env = {}) => {
  relay = spawn(binary, ["serve", "--config", config, "--listen", listen, "--admin", admin], { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...env } });
  relay.gone = new Promise((done) => relay.on("exit", done));
  await until("the relay is ready", () => fetch(`http://${admin}/readyz`).then((r) => r.ok, () => false));
};
const stop = () => { relay.kill("SIGTERM"); return within("the end of the relay", relay.gone); };
process.on("exit", () => relay?.kill("SIGKILL"));

// A proxy before the relay, in which either direction can be held up.
const pipes = new Set();
const proxy = net.createServer((client) => {
  const up = net.connect(Number(port), host);
  const pair = { client, up };
  pipes.add(pair);
  client.pipe(up).pipe(client);
  for (const [one, other] of [[client, up], [up, client]]) one.on("error", () => other.destroy()).on("close", () => { other.end(); pipes.delete(pair); });
}).listen(0, "127.0.0.1");

// An app as Laravel's: a session cookie, a token against forged requests in a cookie and a header, and its route for channels.
const sessions = new Map();
const sign = (text) => `${key}:${createHmac("sha256", secret).update(text).digest("hex")}`;
const server = new Server({ appId: id, key, secret, host, port, useTLS: false, encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString("base64") });
let people = 0;
const app = createServer(async (req, res) => {
  let body = "";
  for await (const part of req) body += part;
  const answer = (status, value) => res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  if (req.url === "/login") {
    const session = randomBytes(20).toString("hex"), xsrf = randomBytes(20).toString("hex");
    sessions.set(session, { user: ++people, xsrf });
    res.setHeader("set-cookie", [`laravel_session=${session}; path=/; httponly; samesite=lax`, `XSRF-TOKEN=${xsrf}; path=/; samesite=lax`]);
    return answer(200, {});
  }
  const cookies = Object.fromEntries((req.headers.cookie ?? "").split("; ").map((c) => c.split("=")));
  const session = sessions.get(cookies.laravel_session);
  if (!session) return answer(403, { message: "Unauthenticated." });
  if (req.headers["x-csrf-token"] !== session.xsrf) return answer(419, { message: "CSRF token mismatch." });
  const form = Object.fromEntries(new URLSearchParams(body));
  const user = { id: session.user, name: `name ${session.user}` };
  if (req.url === "/broadcasting/user-auth") {
    const data = JSON.stringify({ id: `user ${user.id}`, user_info: user });
    return answer(200, { auth: sign(`${form.socket_id}::user::${data}`), user_data: data });
  }
  const owner = /^private-orders\.(\d+)$/.exec(form.channel_name);
  if (owner && Number(owner[1]) !== user.id) return answer(403, { message: "This action is unauthorized." });
  answer(200, server.authorizeChannel(form.socket_id, form.channel_name, form.channel_name.startsWith("presence-") ? { user_id: user.id, user_info: user } : undefined));
});
await new Promise((done) => app.listen(0, "127.0.0.1", done));
const at = `http://127.0.0.1:${app.address().port}`;

// What a browser does: its requests carry the cookies of who is logged in. Each page has a login of its own.
const XHR = Pusher.Runtime.createXHR().constructor;
let jar = "";
Pusher.Runtime.createXHR = () => {
  const xhr = new XHR(), cookies = jar, open = xhr.open.bind(xhr);
  xhr.setDisableHeaderCheck(true);
  xhr.open = (...args) => { open(...args); if (cookies) xhr.setRequestHeader("Cookie", cookies); };
  return xhr;
};
const login = async () => {
  const response = await fetch(`${at}/login`, { method: "POST" });
  jar = response.headers.getSetCookie().map((c) => c.split(";")[0]).join("; ");
  return /XSRF-TOKEN=(\w+)/.exec(jar)[1];
};

const options = (more = {}) => ({ cluster: "", wsHost: host, wsPort: Number(port), forceTLS: false, enabledTransports: ["ws"], disableStats: true, ...more });
const open = [];
const page = (more) => {
  const p = new Pusher(more?.key ?? key, options(more));
  p.errors = [];
  p.connection.bind("error", (e) => p.errors.push(e.data?.code ?? e.error?.data?.code));
  p.codes = []; // with which the connection was closed
  p.connection.bind("connected", () => p.connection.connection.bind("error", (e) => e?.type === "PusherError" && p.codes.push(e.data.code)));
  open.push(p);
  return p;
};
const through = () => page({ wsPort: proxy.address().port });
const once = (target, event) => within(event, new Promise((done) => { const f = (data) => { target.unbind(event, f); done(data); }; target.bind(event, f); }));
const connected = (p) => until("connected", () => p.connection.state === "connected");
const subscribed = async (p, name) => {
  const c = p.subscribe(name);
  await until(`${name} is subscribed`, () => c.subscribed);
  return c;
};
// comesBack waits for p to be closed with a code and to be there again, as another connection that hears its channel.
const comesBack = async (p, channel, code, socket, also = []) => {
  await until(`closed with ${code}`, () => p.codes.includes(code));
  await until(`back after ${code}`, () => p.connection.state === "connected" && p.connection.socket_id !== socket);
  const c = await subscribed(p, channel);
  const told = once(c, "after");
  await server.trigger(channel, "after", { code });
  assert.deepEqual(await told, { code });
  for (const e of p.errors) assert.ok(e === code || also.includes(e), `told of ${p.errors}, want ${code}`);
};

const step = async (name, f) => {
  try {
    await f();
    console.log(`ok: ${name}`);
  } catch (error) {
    console.log(`failed: ${name}: ${error.stack}`);
    for (const p of open) console.log(p.connection.state, "errors", p.errors, "codes", p.codes);
    process.exit(1);
  }
  for (const p of open.splice(0)) p.disconnect();
  await until("all have gone", async () => (await (await server.get({ path: "/connections" })).json()).connections === 0);
};

await start();

await step("laravel-echo: private channels, presence, whispers, notifications, an encrypted channel", async () => {
  const echo = async () => {
    const csrfToken = await login();
    const e = new Echo({ broadcaster: "pusher", key, Pusher, csrfToken, ...options({ authEndpoint: `${at}/broadcasting/auth` }) });
    open.push(e.connector.pusher);
    return e;
  };
  const ready = (channel) => within(channel.name, new Promise((done, fail) => channel.subscribed(done).error(fail)));
  const refusal = (channel) => within(channel.name, new Promise((done, fail) => channel.error(done).subscribed(() => fail(new Error("let in")))));
  const a = await echo(), me = people;
  const orders = a.private(`orders.${me}`);
  await ready(orders);
  const order = within("an event", new Promise((done) => orders.listen("OrderShipped", done)));
  const note = within("a notification", new Promise((done) => orders.notification(done)));
  await server.trigger(`private-orders.${me}`, "App\\Events\\OrderShipped", { order: 1 });
  await server.trigger(`private-orders.${me}`, "Illuminate\\Notifications\\Events\\BroadcastNotificationCreated", { type: "paid", id: "n1" });
  assert.deepEqual(await order, { order: 1 });
  assert.deepEqual(await note, { type: "paid", id: "n1" });
  assert.equal((await refusal(a.private(`orders.${me + 1}`))).status, 403);

  const vault = a.encryptedPrivate("vault");
  await ready(vault);
  const secretly = within("an encrypted event", new Promise((done) => vault.listen(".opened", done)));
  await server.trigger("private-encrypted-vault", "opened", { combination: [1, 2, 3] });
  assert.deepEqual(await secretly, { combination: [1, 2, 3] });

  const events = [];
  const room = a.join("room").joining((m) => events.push(["joining", m.id])).leaving((m) => events.push(["leaving", m.id]));
  assert.deepEqual(await within("here", new Promise((done) => room.here(done))), [{ id: me, name: `name ${me}` }]);
  const b = await echo(), other = people;
  const bRoom = b.join("room");
  const here = await within("here", new Promise((done) => bRoom.here(done)));
  assert.deepEqual(here.map((m) => m.id).sort(), [me, other].sort());
  await until("joining", () => events.length === 1);
  const typing = within("a whisper", new Promise((done) => room.listenForWhisper("typing", done)));
  bRoom.whisper("typing", { key: "k" });
  assert.deepEqual(await typing, { key: "k" });
  const toOthers = within("an event to others", new Promise((done) => room.listen("Said", done)));
  bRoom.listen("Said", () => assert.fail("the sender hears of it"));
  await server.trigger("presence-room", "App\\Events\\Said", { text: "hi" }, { socket_id: b.socketId() });
  assert.deepEqual(await toOthers, { text: "hi" });
  b.leave("room");
  await until("leaving", () => events.length === 2);
  assert.deepEqual(events, [["joining", other], ["leaving", other]]);

  jar = ""; // nobody is logged in
  assert.equal((await refusal(b.private(`orders.${other}`))).status, 403);
  await login();
  assert.equal((await refusal(b.private("another"))).status, 419); // with the token of before
  a.disconnect();
  b.disconnect();
});

await step("a signed-in user: messages, and an end that is for good until the page connects again", async () => {
  const csrf = await login();
  const p = page({ userAuthentication: { endpoint: `${at}/broadcasting/user-auth`, transport: "ajax", headers: { "X-CSRF-TOKEN": csrf } } });
  p.signin();
  await once(p, "pusher:signin_success");
  const user = p.user.user_data.id;
  await until("the user's channel is followed", async () => (await (await server.get({ path: `/channels/${encodeURIComponent(`#server-to-user-${user}`)}` })).json()).occupied);
  const told = once(p.user, "hello");
  await server.sendToUser(user, "hello", { n: 1 });
  assert.deepEqual(await told, { n: 1 });
  await server.terminateUserConnections(user);
  await until("the end", () => p.codes.includes(4009) && p.connection.state === "disconnected");
  p.connect();
  await connected(p);
});

await step("cache channels", async () => {
  const p = page(), c = p.subscribe("cache-news");
  await once(c, "pusher:cache_miss");
  await server.trigger("cache-news", "e", { n: 2 });
  const d = page().subscribe("cache-news");
  assert.deepEqual(await once(d, "e"), { n: 2 });
});

await step("client events over the rate: an error, and the connection stays", async () => {
  const auth = { channelAuthorization: { customHandler: ({ socketId, channelName }, done) => done(null, { auth: sign(`${socketId}:${channelName}`) }) } };
  const p = page(auth), q = page(auth);
  const c = await subscribed(p, "private-talk"), d = await subscribed(q, "private-talk");
  const socket = p.connection.socket_id;
  let heard = 0, last;
  d.bind("client-e", (m) => { heard++; last = m; });
  for (let i = 0; i < 30; i++) c.trigger("client-e", { i });
  await until("4301", () => p.errors.includes(4301));
  await until("it may again", async () => { c.trigger("client-e", { i: "again" }); return last?.i === "again"; });
  assert.ok(heard >= 10 && heard + p.errors.length >= 31, `${heard} heard, ${p.errors.length} refused`);
  assert.deepEqual([p.connection.state, p.connection.socket_id, p.codes.filter((code) => code !== 4301)], ["connected", socket, []]);
});

await step("it comes back: too many messages", async () => {
  const p = page(), c = await subscribed(p, "flooded"), socket = p.connection.socket_id;
  assert.ok(c);
  for (let i = 0; i < 1000; i++) p.connection.send_event("pusher:ping", {});
  await comesBack(p, "flooded", 4100, socket);
});

await step("it comes back: the app takes no more connections", async () => {
  const crowd = Array.from({ length: 12 }, () => page());
  await Promise.all(crowd.map(connected));
  const late = page();
  await until("4100, twice", () => late.errors.filter((code) => code === 4100).length >= 2);
  crowd[0].disconnect();
  await connected(late);
  assert.deepEqual([...new Set(late.errors)], [4100]);
  const none = page({ key: "nobody" });
  await until("there is no such app", () => none.errors.includes(4001) && none.connection.state === "disconnected");
});

await step("it comes back: it does not read", async () => {
  const p = through();
  await subscribed(p, "large");
  const socket = p.connection.socket_id;
  for (const pair of pipes) pair.up.pause();
  const batch = Array.from({ length: 10 }, () => ({ channel: "large", name: "e", data: "x".repeat(10_000) }));
  await until("the relay gives it up", async () => {
    for (let i = 0; i < 10; i++) await server.triggerBatch(batch);
    return /^weir_closes_total{code="4008"} 1$/m.test(await (await fetch(`http://${admin}/metrics`)).text());
  });
  for (const pair of pipes) pair.up.resume();
  await comesBack(p, "large", 4200, socket);
});

await step("it comes back: the relay restarts", async () => {
  const p = page();
  await subscribed(p, "news");
  const socket = p.connection.socket_id;
  await stop();
  await start({ WEIR_HEARTBEAT: "2s", WEIR_PONG: "1s" }); // for the next one
  await comesBack(p, "news", 4200, socket, [4100, 1006, undefined]); // of attempts while it drained, and while nobody was there
});

await step("it comes back: no pong", async () => {
  const p = through();
  await subscribed(p, "silent");
  const socket = p.connection.socket_id;
  for (const pair of pipes) pair.client.pause();
  await until("4201", () => p.errors.includes(4201));
  for (const pair of pipes) pair.client.resume();
  await comesBack(p, "silent", 4201, socket);
});

await stop();
console.log("all");
process.exit(0);
