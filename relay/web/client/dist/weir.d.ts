// Types of weir.js. Made from its source.

import type { Doc } from './weir-documents.js'
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
type Wire = [say: (text: string, m: Message) => void, close: () => void];
/** Hears a message; none when there are only signs of life. */
type Hear = (m?: Message) => void;
/** A connection has ended, or never began: the close code and the reason. Only the first time counts. */
type End = (code: number, reason: string) => void;
type Opener = (token: string, hear: Hear, end: End) => Wire;
/** Hears what came as text. What cannot be read costs itself alone. */
declare function read(text: string, hear: Hear): void;
/** An address with as many channels, and where they stand, as it has room for: of all that there are, those, by name. */
declare function address(path: string, channels: Followed[], room: number): [path: string, names: Map<string, Followed>];
declare function openSocket(make: SocketConstructor, url: string, token: string, hear: Hear, end: End): Wire;
/** Reads an event stream to its end; what its events carry is all in the data. */
declare function openEvents(url: string, headers: Record<string, string>, hear: Hear, end: End): () => void;
/** How a connection stands. Waiting: for the time of the next try; closed: no more tries. */
export type Status = 'connecting' | 'open' | 'waiting' | 'closed';
/** A connection that is made again whenever it is lost. */
export interface Link {
    /** Sends a message; text is how it is encoded. */
    send(m: Message, text?: string): void;
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
/** What bounds a client, as the relay tells it. */
export interface Limits {
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
export interface WeirError extends Error {
    code: string;
    /** Later it may work. */
    retryable: boolean;
}
declare const failure: (code: string, message: string, retryable?: boolean, cause?: unknown) => WeirError;
/** Makes a message when it is its turn, or nothing if there is no need for it any more. */
type Maker = () => Message | false | undefined;
interface Queue {
    ask(m: Message): Promise<Message>;
    /** Says something before all commands. */
    first(make: Maker): void;
    /** There is a connection, where first things are said first. Serial: one may overtake another on the way, so that the next one waits for the answer. */
    open(limits: Limits | undefined, serial: boolean, first: Maker[]): void;
    /** There is none. Final: nor will there be. */
    shut(final: boolean): void;
    /** An answer; false if none of these commands has asked for it. */
    hear(m: Message): boolean;
    /** A channel's namespace takes so many publications a second; 0: any number. */
    pace(channel: string, rate: number): void;
    /** Something on its way was too big for the relay: gives up the largest. False if there is none. */
    big(): boolean;
}
/** Commands in the order in which they were given, sent as fast as the relay takes them, and again if it does not take them yet. */
declare function queue(send: (text: string, m: Message) => void, unique: () => string): Queue;
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
    /** The channel cannot be followed, or not any more: ask for it again to try once more. */
    error: {
        code: string;
        message?: string;
        reason?: string;
    };
}
/** The live items of a channel: data by group and key. */
export type State = ReadonlyMap<string, ReadonlyMap<string, any>>;
/** A channel as one part of a program follows it. It is followed until the last of them has closed it. */
export interface Channel {
    readonly name: string;
    /** The live items. It is another value after each change of them, and the one there was stays as it is. */
    readonly state: State;
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
    /** Ends following, for whoever got this channel; others who got one of that name go on. */
    close(): void;
}
/** What is known of a channel that is followed, for all who follow it. */
interface Followed {
    name_: string;
    /** What the relay says of it is taken: it has said where it begins. */
    live_: boolean;
    /** The id of the subscribe that has been sent. */
    asked_: string;
    position_(): Position | undefined;
    take_(c: Change): void;
    stand_(m: Message): void;
    lost_(m: {
        code: string;
    }): void;
    /** The channel for one more. */
    join_(): Channel;
}
declare function followed(name: string, from: Position | undefined, ask: (m: Message) => Promise<Message>, ended: () => void): Followed;
/** A token, or where to get one. */
type Source = string | (() => string | Promise<string>) | undefined;
/** The token in use. It is kept until it is refused, or three quarters of its life are over: then another takes its place. */
interface Tokens {
    get(): Promise<string>;
    /** The relay does not take it: is there another? */
    refused(): boolean;
    /** The one in use is good for so long, in ms. */
    expires(ms: number | undefined): void;
    stop(): void;
}
/** Change gives the relay the next token and returns for how long that is good. */
declare function tokens(source: Source, change: (token: string) => Promise<number | undefined>, fail: (err: unknown) => void): Tokens;
export interface Options {
    /** A token, or where to get one: asked again before it expires, when the relay does not take it, and when none has come within 10 s. */
    token?: Source;
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
        data?: any;
    };
    error: {
        code: string;
        message: string;
    };
}
/** A client of a relay. */
export interface Weir {
    readonly status: Status;
    readonly userId: string;
    readonly connectionId: string;
    /** What the relay takes from one client; known once connected. */
    readonly limits: Limits | undefined;
    on: On<ClientEvents>;
    /** Follows a channel, from a position or from now. Whoever asks for one closes it, and it ends with the last of them. */
    channel(name: string, from?: Position): Channel;
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
export declare function connect(url?: string | URL, options?: Options): Weir;
export {};
