package simulate

import "bytes"

// Defect is something wrong that is put between the relay and one client, or one publisher, to show that it
// is found.
type Defect string

// The defects.
const (
	None    Defect = ""
	Drop    Defect = "drop"    // a frame of changes is lost
	Repeat  Defect = "repeat"  // one comes twice
	Reorder Defect = "reorder" // one comes after the next
	Damage  Defect = "damage"  // one byte of a message is another
	Skip    Defect = "skip"    // a resume leaves out what was missed
	Stale   Defect = "stale"   // a delete is lost where gaps are usual
	Forget  Defect = "forget"  // what was acknowledged is nowhere
)

// defectAt is which frame of changes it hits, and again after as many. The relay may make one good: a client that
// reconnects resumes from before it. So there are many in a run.
const defectAt = 10

// mangle is what the client gets to see of a message. Only the first client has a defect. The caller holds
// mu.
func (c *client) mangle(payload []byte) [][]byte {
	defect := c.w.options.Defect
	if defect == None || defect == Forget || c.name != "client-0" {
		return [][]byte{payload}
	}
	if held := c.held; held != nil && bytes.Contains(payload, []byte(`"seq":`)) && bytes.Equal(channelOf(payload), channelOf(held)) {
		c.held = nil
		return [][]byte{payload, held}
	}
	var hit bool
	switch defect {
	case Skip:
		hit = bytes.Contains(payload, []byte(`"recovered":true,"changes":[{`)) && bytes.Contains(payload, []byte(`"channel":"log:`))
	case Stale:
		hit = bytes.Contains(payload, []byte(`"op":"delete"`)) && bytes.Contains(payload, []byte(`"channel":"map:`)) && !bytes.Contains(payload, []byte(`"position"`))
	default:
		hit = bytes.Contains(payload, []byte(`"seq":`)) && bytes.Contains(payload, []byte(`"channel":"log:`)) && !bytes.Contains(payload, []byte(`"position"`))
	}
	if hit {
		c.defects++
	}
	switch at := c.defects; {
	case !hit:
	case defect == Skip && at == 1:
		from := bytes.Index(payload, []byte(`"changes":[`)) + len(`"changes":[`)
		return [][]byte{append(bytes.Clone(payload[:from]), `]}`...)}
	case defect == Stale: // all of them: an item that comes again is no longer stale
		return nil
	case at%defectAt != 0:
	case defect == Drop:
		return nil
	case defect == Repeat:
		return [][]byte{payload, bytes.Clone(payload)}
	case defect == Reorder && c.held == nil:
		c.held = bytes.Clone(payload)
		return nil
	case defect == Damage:
		b := bytes.Clone(payload)
		if i := bytes.Index(b, []byte(`"x":"`)); i >= 0 {
			b[i+len(`"x":"`)+10] ^= 1
		}
		return [][]byte{b}
	}
	return [][]byte{payload}
}

// channelOf is the first channel that a message names.
func channelOf(payload []byte) []byte {
	_, after, _ := bytes.Cut(payload, []byte(`"channel":"`))
	name, _, _ := bytes.Cut(after, []byte(`"`))
	return name
}
