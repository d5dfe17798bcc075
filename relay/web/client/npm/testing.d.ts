// Types of testing.js. Made from its source.

import { Options, SocketConstructor, Publication, Position, Message } from '../dist/weir.js';

/** A relay within the program. It speaks the protocol with clients that connect with its options, and does what a test says. */
interface FakeRelay {
    /** For connect(relay.url, relay.options). */
    readonly url: string;
    readonly options: Options & {
        WebSocket: SocketConstructor;
    };
    /** Publishes as a backend does. */
    publish(channel: string, data: unknown, p?: Publication): Position;
    /** The items of a channel, by group and key. */
    state(channel: string): Record<string, Record<string, any>>;
    /** How many sessions follow a channel now. */
    followers(channel: string): number;
    /** How many sessions there are. */
    readonly sessions: number;
    /** What clients have said, in order; a test may empty it. */
    readonly said: Message[];
    /** Decides about commands from now on: a code such as "forbidden" refuses one. */
    refuse(f?: (m: Message, user: string) => string | undefined | false): void;
    /** Answers calls of clients (weir.call). */
    answer(f: (method: string, data: any, user: string) => unknown): void;
    /** Ends all connections as a network does that breaks, or with a close code. */
    cut(code?: number, reason?: string): void;
    /** No connection can be made until it is online again; those that there are end. */
    offline(): void;
    online(): void;
    /** What is said from now on arrives so much later, in ms. */
    lag(ms: number): void;
    /** Loses the logs and items of a channel, or of all, as a relay does that keeps them in memory and is started anew. */
    lose(channel?: string): void;
    /** Tokens in use are refused from now on, and their sessions end. */
    expire(): void;
    /** Tokens are good for so long from now on, in ms. */
    life(ms: number | undefined): void;
    /** The text of a document; with one, it is edited as somebody else would. */
    document(id: string, text?: string): string;
}
/** Makes a relay. The token of its options stands for the user "ann"; any other text is a token of the user of that name. */
declare function fakeRelay(): FakeRelay;
/** A clock that stands still until a test moves it. */
interface FakeClock {
    /** Moves it by so many ms: timers that are due fire in their order, and what they cause happens before the next one. */
    advance(ms: number): Promise<void>;
    /** Lets happen what can without time passing. */
    settle(): Promise<void>;
    /** Gives the program its own time back. */
    restore(): void;
}
/** Takes the place of setTimeout, setInterval and Date until it is restored. */
declare function fakeClock(start?: number | Date): FakeClock;

export { fakeClock, fakeRelay };
export type { FakeClock, FakeRelay };
