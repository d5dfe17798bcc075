// Types of react.js. Made from its source.

import { ReactNode, ReactElement } from 'react';
import { Channel, State, ChannelEvents, Status, Position, Weir, Change, User } from '../dist/weir.js';
export { State } from '../dist/weir.js';
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

/** Gives the components within it their client. It outlives them: connect outside of components, and close it there, if at all. */
declare function WeirProvider({ client, children }: {
    client: Weir;
    children?: ReactNode;
}): ReactElement;
/** The client of the WeirProvider around the component. */
declare function useWeir(): Weir;
/** How the connection stands. */
declare function useStatus(): Status;
/** Follows a channel while the component is there: its items as they are now, and what can be done with it. Without a name there is none. */
declare function useChannel<S = any>(name: string | undefined): ChannelSnapshot<S> & ChannelActions<S>;
/** What useItem returns: the data, undefined if there is none, and how to set it. Undefined deletes the item. */
type Item<T> = readonly [value: T | undefined, set: (value: T | undefined, options?: {
    ttl?: number;
}) => Promise<Position>];
/** Follows one item of a channel. The component is rendered again when that is different, whatever else happens in the channel. */
declare function useItem<T = any>(name: string | undefined, group: string, key: string): Item<T>;
/** Calls f with each change of a channel while the component is there: events, too. Each once, however often the connection breaks. */
declare function useChange<S = any, E = any>(name: string | undefined, f: (change: Change<S, E>) => void): void;
/** Who follows a channel now. */
declare function usePresence(name: string | undefined): readonly User[];
/** Opens a shared document while the component is there. */
declare function useDocument(id: string | undefined): DocumentSnapshot & {
    edit(list: Edit[]): void;
    cursor(position: number, anchor?: number): void;
};

export { WeirProvider, useChange, useChannel, useDocument, useItem, usePresence, useStatus, useWeir };
export type { ChannelActions, ChannelSnapshot, DocumentSnapshot, Item };
