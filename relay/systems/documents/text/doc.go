// Package text is operational transformation of plain text: the type "text-unicode", as editors and ShareDB
// speak it. It holds no state of documents and knows nothing of connections.
//
// An operation is a list of components that walks over a text once: skip N code points, insert a string, delete
// N code points. As JSON: 5, "abc", {"d":3} or {"d":"abc"}. Positions count code points, which are Go's runes;
// editors in browsers count UTF-16 units and convert.
//
// Entry points: [Parse] reads an operation and refuses what is not in normal form, [Buffer] is a text that
// operations are applied to, [Transform] moves an operation over another one that was made beside it,
// [Compose] puts two in a row together, [Op.Move] moves a cursor.
//
// With a and b made at the same text, side Right for a and Left for b, both orders end in the same text:
//
//	apply(apply(d, a), Transform(b, a, Left)) == apply(apply(d, b), Transform(a, b, Right))
//
// What it refuses, with an error: lengths that are negative, zero or beyond the text; components that are empty
// or could be one; strings that are not Unicode (half a surrogate pair); more than [MaxComponents]. Transform
// and Compose take operations that Parse or Check let through, and end without harm for any two.
//
// Nothing here is safe for concurrent use, but that operations are never changed once they are made: they, and
// the strings in them, may be shared.
package text
