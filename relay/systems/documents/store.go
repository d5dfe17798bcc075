package documents

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
	namespace     = "document"
	logNamespace  = "document-log"  // operations, as they come: "send" changes
	headNamespace = "document-head" // an item with the newest snapshot
)

const (
	headGroup = "document"
	headKey   = "head"
)

// store is where documents are kept: in two channels each, one with the operations and one with a snapshot that
// holds all but the newest of them. They are on disk where there is a data directory.
type store struct{ host relay.Host }

// head is a snapshot.
type head struct {
	Kind    Kind            `json:"kind"`
	Epoch   string          `json:"epoch"`
	Version uint64          `json:"version"`
	Content json.RawMessage `json:"content"`
}

// errDamaged is for a document whose stored parts do not fit together.
var errDamaged = errors.New("the log of the document has a gap")

// reserve makes the namespaces the system's own.
func (k store) reserve() error {
	cfg := k.host.Config()
	for _, name := range []string{logNamespace, headNamespace} {
		if _, ok := cfg.Namespaces[name]; ok {
			return fmt.Errorf("namespaces.%s: documents are stored there: set their policy in namespace %s", name, namespace)
		}
	}
	p := config.Namespace{Durable: true, Presence: new(bool), History: config.History{Size: new(keptMost + 500), TTL: -1}}
	if err := k.host.Reserve(logNamespace, p); err != nil {
		return err
	}
	p.History = config.History{Size: new(int)}
	return k.host.Reserve(headNamespace, p)
}

// load returns what is stored of a document; false if there is nothing.
func (k store) load(id string) (h head, log []*entry, ok bool, err error) {
	for _, name := range []string{headNamespace, logNamespace} { // a document that cannot be read is not begun anew
		if err := k.host.Broker().Load(name + ":" + id); err != nil {
			return h, nil, false, fmt.Errorf("read document %s: %w", id, err)
		}
	}
	raw, _, ok := k.host.Broker().Item(headNamespace+":"+id, headGroup, headKey)
	changes, _, _, _ := k.host.Broker().History(logNamespace+":"+id, 0, keptMost+500)
	if !ok {
		if len(changes) > len("[]") { // a document that was being deleted
			k.trim(id)
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
			if err == nil && len(log) > 0 && e.version != log[len(log)-1].version+1 {
				log = log[:0] // the older ones are of no use
			}
			log = append(log, e)
			return err
		})
	})
	switch {
	case err != nil:
		return h, nil, false, fmt.Errorf("read log of document %s: %w", id, err)
	case len(log) > 0 && log[0].version > h.Version+1:
		return h, nil, false, fmt.Errorf("read log of document %s: %w", id, errDamaged)
	case len(log) > 0 && log[len(log)-1].version < h.Version:
		log = nil // all of it is older, and a gap lies in between
	}
	return h, log, true, nil
}

// append adds an operation to the log.
func (k store) append(id string, e *entry) (broker.Receipt, error) {
	return k.host.Submit(logNamespace+":"+id, &broker.Publication{Op: broker.Send, Data: e.appendJSON(make([]byte, 0, 256))})
}

// save replaces the snapshot. content appends what is in it.
func (k store) save(id string, kind Kind, epoch string, version uint64, content func(dst []byte) []byte) (broker.Receipt, error) {
	b := encode.Object("kind", string(kind), "epoch", epoch, "version", version, "content", content)
	return k.host.Submit(headNamespace+":"+id, &broker.Publication{Op: broker.Set, Group: headGroup, Key: headKey, Data: b})
}

// confirm returns an error if something of a document is not on disk yet. It does not wait.
func (k store) confirm(id string) error {
	for _, channel := range []string{headNamespace + ":" + id, logNamespace + ":" + id} {
		// Nothing of that name is ever there, so that this changes nothing: its receipt is for what was appended before.
		t, err := k.host.Submit(channel, &broker.Publication{Op: broker.Delete, Group: headGroup, Key: "none"})
		if err != nil {
			return err
		}
		if t.Wait != nil {
			return errUnsafe
		}
	}
	return nil
}

// trim drops the log of a document whose snapshot holds all of it.
func (k store) trim(id string) { k.host.Broker().Clear(logNamespace + ":" + id) }

// remove deletes everything of a document.
func (k store) remove(id string) (broker.Receipt, error) {
	t, err := k.host.Submit(headNamespace+":"+id, &broker.Publication{Op: broker.Delete, Group: headGroup, Key: headKey})
	if err == nil {
		k.trim(id)
	}
	return t, err
}

// textOf reads a JSON string. It keeps nothing of raw.
func textOf(raw []byte) (string, error) {
	s, err := wire.Text(raw)
	return strings.Clone(s), err
}
