// Types of weir.js. Made from its source.

/** Ends what it was returned for. */
export type Off = () => void;
/** Calls f whenever the event happens, until the returned function is called. */
export type On<E> = <K extends keyof E>(event: K, f: (value: E[K]) => void) => Off;
/** The two ends of telling: on and tell. What a listener throws is its own problem, and reported as such. */
declare function emitter<E>(): [on: On<E>, tell: <K extends keyof E>(event: K, value: E[K]) => void];
/** A message of the protocol. */
export type Message = {
    type: string;
    [member: string]: any;
};
/** The part of WebSocket that is needed: the browser's own, or npm ws in Node 20. */
export interface Socket {
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
export type SocketConstructor = new (url: string, protocols: string[]) => Socket;
/** A connection: a way to say something, and to close it. Nothing is heard of it after that. */
type Wire = [say: (m: Message) => void, close: () => void];
/** Hears a message; none when there are only signs of life. */
type Hear = (m?: Message) => void;
/** A connection has ended, or never began: the close code and the reason. Only the first time counts. */
type End = (code: number, reason: string) => void;
type Opener = (token: string, hear: Hear, end: End) => Wire;
declare function openSocket(make: SocketConstructor, url: string, token: string, hear: Hear, end: End): Wire;
/** Reads an event stream to its end; what its events carry is all in the data. */
declare function openStream(url: string, headers: Record<string, string>, hear: Hear, end: End): Wire;
/** How a connection stands. Waiting: for the time of the next try; closed: no more tries. */
export type Status = 'connecting' | 'open' | 'waiting' | 'closed';
/** A connection that is made again whenever it is lost. */
export interface Link {
    send(m: Message): void;
    /** Connects anew, at once. */
    again(): void;
    close(): void;
    /** Finds out what became of the connection. */
    wake_(): void;
}
/**
 * Keeps one connection: it is made again, as close codes ask for, until it is closed. Of several openers the later
 * ones are for when the first can not connect at all. Told is every change of the status, open before the first message.
 */
declare function link(token: () => Promise<string>, // asks for a new one if there is none that is good
refused: () => boolean, // the relay does not take the one there is: is there another?
openers: Opener[], hear: (m: Message) => void, told: (status: Status, reason: string) => void): Link;
/** Where in a channel's log something stands. */
export interface Position {
    epoch: string;
    seq: number;
}
/** One change of a channel. */
export interface Change {
    seq: number;
    op: 'set' | 'delete' | 'send';
    group?: string;
    key?: string;
    data?: any;
    /** Why an item was deleted: "expired", or "resync" for one that a snapshot does not hold any more. */
    cause?: string;
}
/** Someone who follows a channel. */
export interface User {
    id: string;
    name: string;
    avatar: string;
    status: string;
    joinedAt: number;
    connections: number;
}
/** What a publication is, beside its data. */
export interface Publication {
    op?: 'set' | 'delete' | 'send';
    group?: string;
    key?: string;
    /** Milliseconds that a set item lives. */
    ttl?: number;
    idempotencyKey?: string;
}
export interface ChannelEvents {
    /** Something is different now. Each change is told once, however often the connection broke. */
    change: Change;
    /** The channel is followed (again). Lost: events may have been missed; items are right in any case. */
    sync: {
        recovered?: boolean;
        lost?: boolean;
    };
    /** The channel can not be followed, or not any more. */
    error: {
        code: string;
        message?: string;
        reason?: string;
    };
}
/** A channel that is followed. */
export interface Channel {
    readonly name: string;
    /** The live items: data by group and key. */
    readonly state: Map<string, Map<string, any>>;
    /** Where the state stands; kept, it lets another program go on from there. */
    readonly position: Position | undefined;
    on: On<ChannelEvents>;
    /** The data of an item. */
    get(group: string, key: string): any;
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
    /** Ends following. */
    close(): void;
}
/** The inner side of a channel. */
interface Inner extends Channel {
    take_(c: Change): void;
    stand_(m: Message): void;
    lost_(m: Message): void;
    /** What the state holds is what the relay has. */
    live_: boolean;
}
declare function channel(name: string, from: Position | undefined, ask: (m: Message) => Promise<Message>, unique: () => string, close: () => void): Inner;
export interface Options {
    /** A token, or where to get one: asked again before it expires, and when the relay does not take it. */
    token?: string | (() => string | Promise<string>);
    /** Without a word a WebSocket, and where none gets through an event stream together with POST; sse: only that. */
    transport?: 'sse';
    /** In Node 20: import WebSocket from 'ws'. */
    WebSocket?: SocketConstructor;
}
export interface ClientEvents {
    status: {
        status: Status;
        reason: string;
    };
    connected: {
        connectionId: string;
        userId: string;
    };
    error: {
        code: string;
        message: string;
    };
}
/** An error of the relay, or of a connection that was lost before the answer came. */
export interface WeirError extends Error {
    code: string;
    retryable: boolean;
}
/** A client of a relay. */
export interface Weir {
    readonly status: Status;
    readonly userId: string;
    readonly connectionId: string;
    on: On<ClientEvents>;
    /** Follows a channel, from a position or from now. Asked again for the same name it answers the same channel. */
    channel(name: string, from?: Position): Channel;
    /** The user's own channel; its name is known once connected. */
    readonly me: Channel;
    /** Tells backends and systems of an event: now, or not at all. */
    emit(topic: string, data: unknown): Promise<unknown>;
    /** Gives a command of the protocol and answers what the relay does. It waits for a connection. */
    command(m: Message): Promise<Message>;
    /** Follows a WebSocket route that speaks messages of its own, such as /analytics/live. A path that is a function is asked before each connection. */
    live(path: string | (() => string), each: (m: Message) => void, status?: (s: Status, reason: string) => void): Link;
    /** The token in use, for requests of one's own. */
    token(): Promise<string>;
    close(): void;
}
/** Connects to a relay: the one that the page came from, or that of a URL. */
export declare function connect(url?: string | URL, options?: Options): Weir;
export {};
