// src/vue.ts
import { inject, onScopeDispose, shallowRef, toValue, watch } from "vue";

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

// src/vue.ts
var client = /* @__PURE__ */ Symbol("weir");
var weirPlugin = { install: (app, weir) => void app.provide(client, weir) };
function useWeir() {
  const weir = inject(client, void 0);
  if (!weir) throw new Error("weir-client/vue: the app has no client: app.use(weirPlugin, connect(...))");
  return weir;
}
function useSource(source, pick, also) {
  const value = shallowRef(pick(source().get()));
  let release = () => {
  };
  watch(source, (now) => {
    release();
    if (typeof window === "undefined") return;
    const off = now.subscribe(() => value.value = pick(now.get()));
    const more = also?.(now);
    release = () => {
      more?.();
      off();
    };
    value.value = pick(now.get());
  }, { immediate: true, flush: "sync" });
  onScopeDispose(() => release());
  return value;
}
function useStatus() {
  const weir = useWeir();
  return useSource(() => statusSource(weir, ""), () => weir.status);
}
var named = (make, weir, name, prefix = "") => {
  let was;
  let source = make(weir, void 0);
  return () => {
    const now = toValue(name);
    if (now !== was) source = make(weir, (was = now) === void 0 ? void 0 : prefix + now);
    return source;
  };
};
var late = (weir, name) => ({
  set: (...x) => actions(weir, toValue(name)).set(...x),
  delete: (...x) => actions(weir, toValue(name)).delete(...x),
  publish: (...x) => actions(weir, toValue(name)).publish(...x),
  history: (...x) => actions(weir, toValue(name)).history(...x)
});
function useChannel(name) {
  const weir = useWeir();
  return { channel: useSource(named(channelSource, weir, name), (s) => s), ...late(weir, name) };
}
function useItem(name, group, key) {
  const weir = useWeir();
  const can = late(weir, name);
  return {
    item: useSource(named(channelSource, weir, name), (s) => s.state.get(group)?.get(key)),
    set: (value, options) => value === void 0 ? can.delete(group, key) : can.set(group, key, value, options)
  };
}
function useChange(name, f) {
  const weir = useWeir();
  useSource(named(channelSource, weir, name), () => void 0, (source) => source.handle()?.on("change", (c) => f(c)));
}
function usePresence(name) {
  return useSource(named(channelSource, useWeir(), name, "presence:"), users);
}
function useDocument(id) {
  const weir = useWeir();
  const handle = () => documentSource(weir, toValue(id)).handle();
  return { document: useSource(named(documentSource, weir, id), (s) => s), edit: (list) => handle()?.edit(list), cursor: (...x) => handle()?.cursor(...x) };
}
export {
  useChange,
  useChannel,
  useDocument,
  useItem,
  usePresence,
  useStatus,
  useWeir,
  weirPlugin
};
