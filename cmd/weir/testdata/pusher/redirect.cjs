// Required by every process of the suites: hosts of the hosted service are this machine, ports 80 and 443 those of the relay.
"use strict";
const net = require("node:net");
const ports = { 80: Number(process.env.WEIR_PLAIN), 443: Number(process.env.WEIR_TLS) };
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  const [options] = net._normalizeArgs ? net._normalizeArgs(args) : args;
  const o = Array.isArray(args[0]) ? args[0][0] : options;
  if (o && typeof o === "object" && ports[o.port]) {
    o.port = ports[o.port];
    o.host = "127.0.0.1";
    delete o.lookup;
    delete o.path;
  }
  return connect.apply(this, args);
};
