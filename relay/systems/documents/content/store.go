package content

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/systems/internal/encode"
)

// The namespaces of a document's channels: what its policy is, and where it is kept. Clients cannot
// follow the last two.
const (
	Namespace     = "document"
	LogNamespace  = "document-log"  // operations, as they come: "send" changes
	HeadNamespace = "document-head" // an item with the newest snapshot
)

// maxID leaves room for the namespaces of a document's channels.
const maxID = 200

// ValidID reports whether a document may have an id.
func ValidID(id string) bool {
	return len(id) <= maxID && wire.ValidChannel(Channel(id)) && id != ""
}

// Channel is the channel whose policy and grants are a document's.
func Channel(id string) string { return Namespace + ":" + id }

// Place is the channel whose node owns a channel of a document: all of one document have one owner.
func Place(channel string) string {
	for _, namespace := range []string{LogNamespace, HeadNamespace} {
		if id, ok := strings.CutPrefix(channel, namespace+":"); ok {
			return Channel(id)
		}
	}
	return ""
}

const (
	headGroup = "document"
	headKey   = "head"
)

// Store is where documents are kept: in two channels each, one with the operations and one with a snapshot that
// holds all but the newest of them. They are on disk where there is a data directory, and kept by the servers of a cluster, where only the document's
// owner writes to them.
type Store struct{ Host relay.Host }

// Head is a snapshot.
type Head struct {
	Kind    Kind            `json:"kind"`
	Epoch   string          `json:"epoch"`
	Version uint64          `json:"version"`
	Content json.RawMessage `json:"content"`
}

// errDamaged is for a document whose stored parts do not fit together.
var errDamaged = errors.New("what is stored of the document is damaged")

// Reserve makes the namespaces the system's own.
func (k Store) Reserve() error {
	cfg := k.Host.Config()
	for _, name := range []string{LogNamespace, HeadNamespace} {
		if _, ok := cfg.Namespaces[name]; ok {
			return fmt.Errorf("namespaces.%s: documents are stored there: set their policy in namespace %s", name, Namespace)
		}
	}
	p := config.Namespace{Durable: true, Presence: new(bool), History: config.History{Size: new(KeptMost + 500), TTL: -1}}
	if err := k.Host.Reserve(LogNamespace, p); err != nil {
		return err
	}
	p.History = config.History{Size: new(int)}
	return k.Host.Reserve(HeadNamespace, p)
}

// Load returns what is stored of a document; false if there is nothing.
func (k Store) Load(id string) (h Head, log []*Entry, ok bool, err error) {
	for _, name := range []string{HeadNamespace, LogNamespace} { // a document that cannot be read is not begun anew
		if err := k.Host.Broker().Load(name + ":" + id); err != nil {
			return h, nil, false, fmt.Errorf("read document %s: %w", id, err)
		}
	}
	raw, _, ok := k.Host.Broker().Item(HeadNamespace+":"+id, headGroup, headKey)
	changes, err := k.changes(id)
	if err != nil {
		return h, nil, false, fmt.Errorf("read log of document %s: %w", id, err)
	}
	if !ok {
		if len(changes) > len(none) { // a document that was being deleted
			k.Trim(id)
		}
		return h, nil, false, nil
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return h, nil, false, fmt.Errorf("read snapshot of document %s: %w", id, err)
	}
	err = wire.Elements(changes, func(change []byte) error {
		return wire.Members(change, func(key string, v []byte) error {
			if key != "data" {
				return nil
			}
			e, err := parseEntry(v)
			if err == nil && len(log) > 0 && e.Version != log[len(log)-1].Version+1 {
				log = log[:0] // the older ones are of no use
			}
			log = append(log, e)
			return err
		})
	})
	switch {
	case err != nil: // it is not the client's JSON that is wrong
		return h, nil, false, fmt.Errorf("read log of document %s: %w: %s", id, errDamaged, err.Error())
	case len(log) > 0 && log[0].Version > h.Version+1:
		return h, nil, false, fmt.Errorf("read log of document %s: %w", id, errDamaged)
	case len(log) > 0 && log[len(log)-1].Version < h.Version:
		log = nil // all of it is older, and a gap lies in between
	}
	return h, log, true, nil
}

// none is a log without changes.
const none = "[]"

// changes returns the log as it is stored. There is none if the first operation could not be stored, though what it was to follow was.
func (k Store) changes(id string) ([]byte, error) {
	b, channel := k.Host.Broker(), LogNamespace+":"+id
	for range 2 {
		if changes, _, _, ok := b.History(channel, 0, KeptMost+500); ok {
			return changes, nil
		}
		if err := b.Load(channel); err != nil { // not there, or not to be read just then
			return nil, err
		}
	}
	return []byte(none), nil
}

// Append adds an operation to the log.
func (k Store) Append(id string, e *Entry) (broker.Receipt, error) {
	return k.Host.SubmitOwned(LogNamespace+":"+id, &broker.Publication{Op: broker.Send, Data: e.appendJSON(make([]byte, 0, 256))})
}

// Save replaces the snapshot. content appends what is in it.
func (k Store) Save(id string, kind Kind, epoch string, version uint64, content func(dst []byte) []byte) (broker.Receipt, error) {
	b := encode.Object("kind", string(kind), "epoch", epoch, "version", version, "content", content)
	return k.Host.SubmitOwned(HeadNamespace+":"+id, &broker.Publication{Op: broker.Set, Group: headGroup, Key: headKey, Data: b})
}

// OnDisk returns an error if something of a document is not on disk yet. It does not wait.
func (k Store) OnDisk(id string) error {
	for _, channel := range []string{HeadNamespace + ":" + id, LogNamespace + ":" + id} {
		// Nothing of that name is ever there, so that this changes nothing: its receipt is for what was appended before.
		t, err := k.Host.SubmitOwned(channel, &broker.Publication{Op: broker.Delete, Group: headGroup, Key: "none"})
		if err != nil {
			return err
		}
		if t.Wait != nil {
			return errUnsafe
		}
	}
	return nil
}

// Trim drops the log of a document whose snapshot holds all of it.
func (k Store) Trim(id string) {
	if channel := LogNamespace + ":" + id; !k.Host.Elsewhere(channel) {
		k.Host.Broker().Clear(channel)
	}
}

// Remove deletes everything of a document.
func (k Store) Remove(id string) (broker.Receipt, error) {
	t, err := k.Host.SubmitOwned(HeadNamespace+":"+id, &broker.Publication{Op: broker.Delete, Group: headGroup, Key: headKey})
	if err == nil {
		k.Trim(id)
	}
	return t, err
}

// textOf reads a JSON string. It keeps nothing of raw.
func textOf(raw []byte) (string, error) {
	s, err := wire.Text(raw)
	return strings.Clone(s), err
}
