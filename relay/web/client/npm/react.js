'use client'

// src/react.ts
import { createContext, createElement, useContext, useEffect, useMemo, useRef, useSyncExternalStore } from "react";

// src/store.ts
var linger = 1e3;
function sources(none, open) {
  const all = /* @__PURE__ */ new WeakMap();
  return (weir, name) => {
    const entries = all.get(weir) ?? /* @__PURE__ */ new Map();
    all.set(weir, entries);
    const find = () => name === void 0 ? void 0 : entries.get(name);
    return {
      get: () => find()?.value ?? none,
      handle: () => find()?.handle,
      subscribe(f) {
        if (name === void 0) return () => {
        };
        let e = entries.get(name);
        if (!e) {
          const listeners = /* @__PURE__ */ new Set();
          const [handle, value, close] = open(weir, name, (value2) => {
            mine2.value = value2;
            for (const f2 of [...listeners]) f2();
          });
          const mine2 = e = { handle, value, close, listeners };
          entries.set(name, mine2);
        }
        const mine = e;
        const told = () => f();
        clearTimeout(mine.timer);
        mine.listeners.add(told);
        return () => {
          if (!mine.listeners.delete(told) || mine.listeners.size) return;
          mine.timer = setTimeout(() => {
            entries.delete(name);
            mine.close();
          }, linger);
        };
      }
    };
  };
}
var noChannel = { state: /* @__PURE__ */ new Map(), ready: false, error: void 0 };
var channelSource = sources(noChannel, (weir, name, show) => {
  const channel = weir.channel(name);
  let ready = false;
  let error;
  const value = () => ({ state: channel.state, ready, error });
  channel.on("state", () => show(value()));
  channel.on("sync", () => {
    if (ready) return;
    ready = true;
    show(value());
  });
  channel.on("error", (e) => {
    ready = false;
    error = e;
    show(value());
  });
  return [channel, value(), channel.close];
});
var nobody = [];
var lists = /* @__PURE__ */ new WeakMap();
var users = ({ state }) => {
  const items = state.get("users");
  if (!items) return nobody;
  let list = lists.get(items);
  if (!list) lists.set(items, list = [...items.values()]);
  return list;
};
var noDocument = { text: "", ready: false, writable: false, status: "connecting", saved: true, cursors: /* @__PURE__ */ new Map() };
var documentSource = sources(noDocument, (weir, id, show) => {
  const doc = weir.document(id);
  const value = () => ({ text: doc.text, ready: doc.ready, writable: doc.writable, status: doc.status, saved: doc.saved, cursors: new Map(doc.cursors) });
  for (const event of ["change", "cursors", "status", "lost"]) doc.on(event, () => show(value()));
  return [doc, value(), () => doc.close()];
});
var statusSource = sources("connecting", (weir, _name, show) => [weir, weir.status, weir.on("status", ({ status }) => show(status))]);
var withChannel = (weir, name, f) => {
  if (name === void 0) return Promise.reject(new Error("there is no channel"));
  const followed = channelSource(weir, name).handle();
  if (followed) return f(followed);
  const own = weir.channel(name);
  return f(own).finally(own.close);
};
var actions = (weir, name) => ({
  set: (...x) => withChannel(weir, name, (c) => c.set(...x)),
  delete: (...x) => withChannel(weir, name, (c) => c.delete(...x)),
  publish: (...x) => withChannel(weir, name, (c) => c.publish(...x)),
  history: (...x) => withChannel(weir, name, (c) => c.history(...x))
});

// src/react.ts
var Client = createContext(void 0);
function WeirProvider({ client, children }) {
  return createElement(Client.Provider, { value: client }, children);
}
function useWeir() {
  const weir = useContext(Client);
  if (!weir) throw new Error("weir-client/react: there is no WeirProvider around this component");
  return weir;
}
function useStatus() {
  const weir = useWeir();
  const source = useMemo(() => statusSource(weir, ""), [weir]);
  return useSyncExternalStore(source.subscribe, () => weir.status, () => "connecting");
}
function useSource(source, none, pick) {
  return useSyncExternalStore(source.subscribe, () => pick(source.get()), () => pick(none));
}
var nothing = channelSource({}, void 0).get();
function useChannel(name) {
  const weir = useWeir();
  const source = useMemo(() => channelSource(weir, name), [weir, name]);
  const can = useMemo(() => actions(weir, name), [weir, name]);
  const snapshot = useSource(source, nothing, (s) => s);
  return useMemo(() => ({ ...snapshot, ...can }), [snapshot, can]);
}
function useItem(name, group, key) {
  const weir = useWeir();
  const source = useMemo(() => channelSource(weir, name), [weir, name]);
  const value = useSource(source, nothing, (s) => s.state.get(group)?.get(key));
  const set = useMemo(() => {
    const can = actions(weir, name);
    return (value2, options) => value2 === void 0 ? can.delete(group, key) : can.set(group, key, value2, options);
  }, [weir, name, group, key]);
  return [value, set];
}
function useChange(name, f) {
  const weir = useWeir();
  const latest = useRef(f);
  useEffect(() => {
    latest.current = f;
  });
  useEffect(() => {
    const source = channelSource(weir, name);
    const release = source.subscribe(() => {
    });
    const off = source.handle()?.on("change", (c) => latest.current(c));
    return () => {
      off?.();
      release();
    };
  }, [weir, name]);
}
function usePresence(name) {
  const weir = useWeir();
  const source = useMemo(() => channelSource(weir, name === void 0 ? void 0 : "presence:" + name), [weir, name]);
  return useSource(source, nothing, users);
}
var blank = documentSource({}, void 0).get();
function useDocument(id) {
  const weir = useWeir();
  const source = useMemo(() => documentSource(weir, id), [weir, id]);
  const snapshot = useSource(source, blank, (s) => s);
  return useMemo(() => ({ ...snapshot, edit: (list) => source.handle()?.edit(list), cursor: (...x) => source.handle()?.cursor(...x) }), [snapshot, source]);
}
export {
  WeirProvider,
  useChange,
  useChannel,
  useDocument,
  useItem,
  usePresence,
  useStatus,
  useWeir
};
