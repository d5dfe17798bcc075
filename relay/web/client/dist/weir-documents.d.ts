// Types of weir-documents.js. Made from its source.

import type { On, Off, Message, Status, Weir } from './weir.js'
/** A number skips, a string is inserted, {d} deletes as many. */
type Op = Part[];
type Part = number | string | {
    d: number;
};
/** A piece of a change of text, in UTF-16 units of the text before it. */
export interface Edit {
    from: number;
    to: number;
    insert: string;
}
/** One operation that does what the two do, one after the other. */
declare const compose: (first: Op, second: Op) => Op;
/** An operation as it is after another that was made on the same text. Left: it goes first where both insert. */
declare const transform: (op: Op, other: Op, left?: boolean) => Op;
/** The edits of an operation, in order. */
declare function edits(op: Op): Edit[];
/** Where a position is after an operation; one at the place of an insert stays before it. */
declare const shift: (position: number, op: Op) => number;
/** The operation of edits. */
declare function operation(list: Edit[]): Op;
/**
 * Edits of a text after which it is as whole as before: what is left of a surrogate pair of which they take one half, and
 * a half that they bring, is U+FFFD, which is as long. Nobody could store or send a half.
 */
declare const whole: (text: string, list: Edit[]) => Edit[];
/** The text after an operation. */
declare const patch: (text: string, op: Op) => string;
/** What makes one text of the other: one edit that splits no code point. */
declare function difference(a: string, b: string): Edit;
/** How many code points a text has. */
declare const points: (s: string) => number;
/** How many units the first n code points behind a place take. */
declare const units: (text: string, n: number, at?: number) => number;
/** To the wire: the operation of a text in code points. */
declare const toPoints: (op: Op, text: string) => Op;
/** From the wire. */
declare const toUnits: (op: Op, text: string) => Op;
/** Where somebody else is, in UTF-16 units of the text here. */
export interface Cursor {
    userId: string;
    name: string;
    color: string;
    position: number;
    selection: {
        start: number;
        end: number;
    } | null;
}
export interface DocEvents {
    /** The text is different now. Local: by this program. */
    change: {
        edits: Edit[];
        before: string;
        local: boolean;
    };
    cursors: Map<string, Cursor>;
    /** The connection, or whether everything is saved, is different now. */
    status: {
        status: Status;
        reason: string;
    };
    error: {
        code: string;
        message: string;
    };
    /** The relay has begun the document anew, without what was saved: text is what it had. Edits that were not saved stay. */
    lost: {
        text: string;
    };
}
/**
 * A shared text. Edits are there at once and sent one after the other; what others do meanwhile is moved over them, so
 * that everybody ends with the same text. Offsets are those of JavaScript strings; the relay counts code points.
 */
export interface Doc {
    readonly id: string;
    readonly text: string;
    /** The text has arrived. */
    readonly ready: boolean;
    /** The token lets one edit it. */
    readonly writable: boolean;
    readonly status: Status;
    /** What was edited here has reached the relay. */
    readonly saved: boolean;
    /** Others' cursors, by connection. */
    readonly cursors: Map<string, Cursor>;
    on: On<DocEvents>;
    /**
     * Changes the text: edits in order, all in units of the text before. Half of a surrogate pair that would be left or
     * come alone becomes U+FFFD; the event change says what was done.
     */
    edit(list: Edit[]): void;
    /** Tells others where the cursor is, and what is selected. */
    cursor(position: number, anchor?: number): void;
    close(): void;
}
declare function openText(id: string, src: string, live: Weir['live']): Doc;
/** Binds a textarea to a document: what is typed goes out, what others do comes in, and the selection stays where it was. */
export declare function textarea(doc: Doc, el: HTMLTextAreaElement): Off;
/** What is needed of CodeMirror 6: all that @codemirror/view exports, and Transaction of @codemirror/state. */
export interface CodeMirror {
    ViewPlugin: any;
    Decoration: any;
    WidgetType: any;
    /** With it, undo takes back what was typed here, and not what others typed. */
    Transaction?: any;
}
/**
 * An extension that binds an editor to a document and shows where others are:
 * new EditorView({ extensions: [codemirror(doc, cm)] }).
 */
export declare function codemirror(doc: Doc, { ViewPlugin, Decoration, WidgetType, Transaction }: CodeMirror): any;
/** Opens a shared document. */
export declare const openDocument: (weir: Weir, id: string) => Doc;
export {};
