// Types of weir-documents.js. Made from its source.

import { Status, On, Off, Weir } from './weir.js';

/** A piece of a change of text, in UTF-16 units of the text before it. */
interface Edit {
    from: number;
    to: number;
    insert: string;
}

/** Where somebody else is, in UTF-16 units of the text here. */
interface Cursor {
    userId: string;
    name: string;
    color: string;
    position: number;
    selection: {
        start: number;
        end: number;
    } | null;
}
interface DocEvents {
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
interface Doc {
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

/** Binds a textarea to a document: what is typed goes out, what others do comes in, and the selection stays where it was. */
declare function textarea(doc: Doc, el: HTMLTextAreaElement): Off;

/** What is needed of CodeMirror 6: all that @codemirror/view exports, and Transaction of @codemirror/state. */
interface CodeMirror {
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
declare function codemirror(doc: Doc, { ViewPlugin, Decoration, WidgetType, Transaction }: CodeMirror): any;

/** Opens a shared document. */
declare const openDocument: (weir: Weir, id: string) => Doc;

export { codemirror, openDocument, textarea };
export type { CodeMirror, Cursor, Doc, DocEvents, Edit };
