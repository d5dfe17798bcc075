// Types of weir.js. Made from its source.

import { Doc } from './weir-documents.js';

/** Ends what it was returned for. */
type Off = () => void;
/** Calls f whenever the event happens, until the returned function is called. */
type On<E> = <K extends keyof E>(event: K, f: (value: E[K]) => void) => Off;

/** A message of the protocol. */
type Message = {
    type: string;
    [member: string]: any;
};
/** The part of WebSocket that is needed: the browser's own, or npm ws in Node 20. */
interface Socket {
    onmessage: ((e: {
        data: any;
    }) => void) | null;
    onclose: ((e: {
        code: number;
        reason: string;
    }) => void) | null;
    onerror: ((e: any) => void) | null;
    send(data: string): void;
    close(code?: number): void;
}
type SocketConstructor = new (url: string, protocols: string[]) => Socket;

/** Where in a channel's log something stands. */
interface Position {
    epoch: string;
    seq: number;
}
/** The groups of a schema: a type that names, by group, what the items of a channel are. */
type Groups<S> = keyof S & string;
/** One change of a channel: of an item, or an event. */
type Change<S = any, E = any> = {
    [G in Groups<S>]: {
        seq: number;
        op: 'set';
        group: G;
        key: string;
        data: S[G];
        cause?: undefined;
    };
}[Groups<S>] | {
    seq: number;
    op: 'delete';
    group: Groups<S>;
    key: string;
    data?: undefined;
    /** Why an item was deleted: "expired", or "resync" for one that a snapshot does not hold any more. */
    cause?: string;
}
/** The data is what has been put behind the text of the item; channel.get has all of it. */
 | {
    seq: number;
    op: 'append';
    group: Groups<S>;
    key: string;
    data: string;
    cause?: undefined;
} | {
    seq: number;
    op: 'send';
    group?: string;
    key?: string;
    data: E;
    cause?: undefined;
};
/** Someone who follows a channel. */
interface User {
    id: string;
    name: string;
    avatar: string;
    status: string;
    joinedAt: number;
    connections: number;
}
/** What a publication is, beside its data. */
interface Publication {
    op?: 'set' | 'append' | 'delete' | 'send';
    group?: string;
    key?: string;
    /** Milliseconds that a set item lives. */
    ttl?: number;
    /** Of an append: how many code points the text must have so far. */
    offset?: number;
    idempotencyKey?: string;
}
interface ChannelEvents<S = any, E = any> {
    /** Something is different now. Each change is told once, however often the connection broke. */
    change: Change<S, E>;
    /** The state is another one: after changes that came together, and after what was set here. */
    state: void;
    /** The channel is followed (again). Lost: events may have been missed; items are right in any case. */
    sync: {
        recovered?: boolean;
        lost?: boolean;
    };
    /** The channel cannot be followed, or not any more: ask for it again to try once more. */
    error: {
        code: string;
        message?: string;
        reason?: string;
    };
}
/** The live items of a channel: data by group and key. */
interface State<S = any> extends ReadonlyMap<Groups<S>, ReadonlyMap<string, S[Groups<S>]>> {
    get<G extends Groups<S>>(group: G): ReadonlyMap<string, S[G]> | undefined;
}
/** A channel as one part of a program follows it. It is followed until the last of them has closed it. */
interface Channel<S = any, E = any> {
    readonly name: string;
    /** The live items. It is another value after each change of them, and the one there was stays as it is. */
    readonly state: State<S>;
    /** Where the state stands; kept, it lets another program go on from there. */
    readonly position: Position | undefined;
    on: On<ChannelEvents<S, E>>;
    /** Calls f when the state is another one, until the returned function is called. */
    subscribe(f: () => void): Off;
    /** The data of an item. */
    get<G extends Groups<S>>(group: G, key: string): S[G] | undefined;
    /**
     * Sets an item: in the state at once, and then for all. If the relay refuses that the state is as if it had not been,
     * and the promise is rejected.
     */
    set<G extends Groups<S>>(group: G, key: string, data: S[G], p?: Pick<Publication, 'ttl' | 'idempotencyKey'>): Promise<Position>;
    /** Deletes an item, likewise. */
    delete(group: Groups<S>, key: string): Promise<Position>;
    /** Publishes a change; with a key it sets that item. It is sent again after a lost connection, and done once. */
    publish(data: unknown, p?: Publication): Promise<Position>;
    /** Changes from the log, the newest page first, each in order. */
    history(page?: {
        before?: number;
        limit?: number;
    }): Promise<{
        changes: Change[];
        more: boolean;
    }>;
    /** Who follows the channel now. To see them come and go, follow the channel "presence:NAME". */
    presence(): Promise<User[]>;
    /** Ends following, for whoever got this channel; others who got one of that name go on. */
    close(): void;
}

/** How a connection stands. Waiting: for the time of the next try; closed: no more tries. */
type Status = 'connecting' | 'open' | 'waiting' | 'closed';
/** A connection that is made again whenever it is lost. */
interface Link {
    /** Sends a message; text is how it is encoded. */
    send(m: Message, text?: string): void;
    /** Connects anew, at once. */
    again(): void;
    close(): void;
}

/** What bounds a client, as the relay tells it. */
interface Limits {
    /** Bytes of a message. */
    message: number;
    /** Commands a second; 0: any number. */
    commands: number;
    /** Channels of one connection. */
    subscriptions: number;
    /** Bytes of an address. */
    address: number;
}
/** An error of the relay, or of what could not be asked of it. */
interface WeirError extends Error {
    code: string;
    /** Later it may work. */
    retryable: boolean;
    /** Of an append at a wrong offset: the right one. */
    offset?: number;
}

/** A token, or where to get one. */
type Source = string | (() => string | Promise<string>) | undefined;

interface Options {
    /** A token, or where to get one: asked again before it expires, when the relay does not take it, and when none has come within 10 s. */
    token?: Source;
    /** Without a word a WebSocket, and where none gets through an event stream together with POST; sse: only that. */
    transport?: 'sse';
    /** In Node 20: import WebSocket from 'ws'. */
    WebSocket?: SocketConstructor;
}
interface ClientEvents {
    status: {
        status: Status;
        reason: string;
    };
    connected: {
        connectionId: string;
        userId: string;
        data?: any;
    };
    error: {
        code: string;
        message: string;
    };
}
/** A client of a relay. */
interface Weir {
    readonly status: Status;
    readonly userId: string;
    readonly connectionId: string;
    /** What the relay takes from one client; known once connected. */
    readonly limits: Limits | undefined;
    on: On<ClientEvents>;
    /** Follows a channel, from a position or from now. Whoever asks for one closes it, and it ends with the last of them. */
    channel<S = any, E = any>(name: string, from?: Position): Channel<S, E>;
    /** The user's own channel; its name is known once connected. */
    readonly me: Channel;
    /** Tells backends and systems of an event: now, or not at all. */
    emit(topic: string, data: unknown): Promise<unknown>;
    /** Gives a command of the protocol and answers what the relay does. It waits for a connection. */
    command(m: Message): Promise<Message>;
    /** Asks the backend, where hooks are configured, and answers its result. Calls that are ordered end one after the other. */
    call<T = any>(method: string, data?: unknown, options?: {
        ordered?: boolean;
    }): Promise<T>;
    /** Follows a WebSocket route that speaks messages of its own, such as /analytics/live. A path that is a function is asked before each connection. */
    live(path: string | (() => string), each: (m: Message) => void, status?: (s: Status, reason: string) => void): Link;
    /** Opens a shared document; weir-documents.js, which lies beside this module, is loaded for the first one. */
    document(id: string): Doc;
    /** The token in use, for requests of one's own. */
    token(): Promise<string>;
    close(): void;
}
/** Connects to a relay: the one that the page came from, or that of a URL. */
declare function connect(url?: string | URL, options?: Options): Weir;

export { connect };
export type { Change, Channel, ChannelEvents, ClientEvents, Limits, Link, Message, Off, On, Options, Position, Publication, Socket, SocketConstructor, State, Status, User, Weir, WeirError };
