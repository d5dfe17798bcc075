// Runs the integration suite of pusher-js against a relay: node integration.mjs PORT SECRET_MT1 SECRET_EU CERT KEY
// The suite is the package's own, unmodified; it is built and run in a copy, and reaches the relay through redirect.cjs. 443 is a TLS
// listener in front of the relay, as a proxy in production is.
import { spawn } from "node:child_process";
import { cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:tls";
import net from "node:net";
import path from "node:path";

const [port, mt1, eu, cert, key] = process.argv.slice(2);
const here = import.meta.dirname;
const copy = path.join(here, "build", "pusher-js");
const bin = (name) => path.join(here, "node_modules", ...name.split("/"));

const tls = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (client) => {
  const relay = net.connect(Number(port), "127.0.0.1");
  client.pipe(relay).pipe(client);
  for (const [one, other] of [[client, relay], [relay, client]]) one.on("error", () => other.destroy()).on("close", () => other.destroy());
});
await new Promise((done) => tls.listen(0, "127.0.0.1", done));

const env = {
  ...process.env,
  WEIR_PLAIN: port,
  WEIR_TLS: String(tls.address().port),
  NODE_TLS_REJECT_UNAUTHORIZED: "0",
  NODE_NO_WARNINGS: "1",
  NODE_PATH: bin(""),
  INTEGRATION_TESTS_APP_MT1_APP_ID: "1",
  INTEGRATION_TESTS_APP_MT1_KEY: "c49a449b916bb4246729",
  INTEGRATION_TESTS_APP_MT1_SECRET: mt1,
  INTEGRATION_TESTS_APP_EU_APP_ID: "2",
  INTEGRATION_TESTS_APP_EU_KEY: "cb7d5e50f5669e5c9ae6",
  INTEGRATION_TESTS_APP_EU_SECRET: eu,
};
const run = (...args) => spawn(process.execPath, args, { cwd: copy, env, stdio: ["ignore", "inherit", "inherit"] });
const ended = (child) => new Promise((done) => child.on("exit", (code) => done(code ?? 1)));

const spec = path.join(copy, "tmp", "node_integration", "integration_tests_spec.js");
if (!existsSync(spec)) {
  rmSync(copy, { recursive: true, force: true });
  cpSync(bin("pusher-js"), copy, { recursive: true });
  if (await ended(run(bin("webpack/bin/webpack.js"), "--config=spec/config/jasmine/webpack.integration.js", "--stats=errors-only"))) process.exit(1);
}
const require = ["--require", path.join(here, "redirect.cjs")];
const server = run(...require, "integration_tests_server/index.js");
server.on("exit", (code) => code && process.exit(1));
for (let i = 0; ; i++) { // until the auth servers listen
  const up = await Promise.all([3000, 3001].map((p) => fetch(`http://localhost:${p}/auth`, { method: "OPTIONS" }).then(() => true, () => false)));
  if (up.every(Boolean)) break;
  if (i > 300) throw new Error("the auth server does not start");
  await new Promise((done) => setTimeout(done, 100));
}
const code = await ended(run(...require, bin("jasmine/bin/jasmine.js"), "--config=spec/config/jasmine/integration.json"));
server.removeAllListeners("exit");
server.kill();
tls.close();
process.exit(code);
