// Types of weir-share.js. Made from its source.

import { Options, Weir } from './weir.js';

/** Connects like connect of weir.js, but all tabs that do so for the same relay and user share one connection. Without Web Locks, which need a secure page, each has its own. */
declare const connect: (url?: string | URL, options?: Options) => Weir;

export { connect };
