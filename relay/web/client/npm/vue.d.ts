// Types of vue.js. Made from its source.

import { MaybeRefOrGetter, ShallowRef, App } from 'vue';
import { Channel, State, ChannelEvents, Status, Change, Position, User, Weir } from '../dist/weir.js';
import { Cursor, Edit } from '../dist/weir-documents.js';

/** A channel as it is now. */
interface ChannelSnapshot<S = any> {
    /** The live items, by group and key; each map is the same one until something in it is different. */
    readonly state: State<S>;
    /** The items have arrived. */
    readonly ready: boolean;
    /** Why the channel is not followed, if the relay has refused it. */
    readonly error: ChannelEvents['error'] | undefined;
}
/** A document as it is now. */
interface DocumentSnapshot {
    readonly text: string;
    /** The text has arrived. */
    readonly ready: boolean;
    /** The token lets one edit it. */
    readonly writable: boolean;
    readonly status: Status;
    /** What was edited here has reached the relay. */
    readonly saved: boolean;
    /** Others' cursors, by connection. */
    readonly cursors: ReadonlyMap<string, Cursor>;
}
/** What components do with a channel, beside looking at it. */
interface ChannelActions<S = any> {
    /** Sets an item: here at once, and then for all. If the relay refuses, it is undone, and the promise is rejected. */
    set: Channel<S>['set'];
    /** Deletes an item, likewise. */
    delete: Channel<S>['delete'];
    publish: Channel<S>['publish'];
    history: Channel<S>['history'];
}

/** A plugin that gives the components of an app their client: app.use(weirPlugin, connect(...)). */
declare const weirPlugin: {
    install: (app: App, weir: Weir) => void;
};
/** The client of the app. */
declare function useWeir(): Weir;
type Name = MaybeRefOrGetter<string | undefined>;
/** How the connection stands. */
declare function useStatus(): Readonly<ShallowRef<Status>>;
/** Follows a channel while the component is there; the name may be a ref or a getter. */
declare function useChannel<S = any>(name: Name): {
    channel: Readonly<ShallowRef<ChannelSnapshot<S>>>;
} & ChannelActions<S>;
/** Follows one item of a channel: its data, undefined if there is none, and how to set it. Undefined deletes the item. */
declare function useItem<T = any>(name: Name, group: string, key: string): {
    item: Readonly<ShallowRef<T | undefined>>;
    set(value: T | undefined, options?: {
        ttl?: number;
    }): Promise<Position>;
};
/** Calls f with each change of a channel while the component is there: events, too. Each once, however often the connection breaks. */
declare function useChange<S = any, E = any>(name: Name, f: (change: Change<S, E>) => void): void;
/** Who follows a channel now. */
declare function usePresence(name: Name): Readonly<ShallowRef<readonly User[]>>;
/** Opens a shared document while the component is there. */
declare function useDocument(id: Name): {
    document: Readonly<ShallowRef<DocumentSnapshot>>;
    edit(list: Edit[]): void;
    cursor(position: number, anchor?: number): void;
};

export { useChange, useChannel, useDocument, useItem, usePresence, useStatus, useWeir, weirPlugin };
export type { ChannelActions, ChannelSnapshot, DocumentSnapshot };
