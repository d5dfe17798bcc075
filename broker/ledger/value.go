package ledger

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"

	"weir/broker"
	"weir/broker/record"
)

// A checkpoint is a magic with the version, and a compressed body with a checksum: up to where it has all of the channel, and the channel.
const valueMagic = "WLC1"

// saved is a channel as the shelf has it.
type saved struct {
	mark       place // up to where all is in it
	generation uint64
	gone       bool // the channel was dropped
	kept       broker.Kept
}

func (s *saved) encode(key string) []byte {
	b := binary.AppendUvarint(nil, s.mark.order)
	b = binary.AppendUvarint(b, s.mark.number)
	b = binary.AppendUvarint(b, s.generation)
	if s.gone {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	k := &s.kept
	b = record.AppendText(b, k.Position.Epoch)
	b = binary.AppendUvarint(b, k.Position.Seq)
	b = binary.AppendUvarint(b, uint64(len(k.Forks)))
	for _, f := range k.Forks {
		b = record.AppendText(b, f.Epoch)
		b = binary.AppendUvarint(b, f.Seq)
	}
	b = binary.AppendUvarint(b, uint64(len(k.Changes)))
	for i := range k.Changes {
		c := &k.Changes[i]
		b = record.AppendBody(b, &broker.Entry{Op: c.Op, Expired: c.Expired, Group: c.Group, Key: c.Key, Data: c.Data}, c.At)
	}
	b = binary.AppendUvarint(b, uint64(len(k.Items)))
	for i := range k.Items {
		item := &k.Items[i]
		b = record.AppendText(b, item.Group)
		b = record.AppendText(b, item.Key)
		b = record.AppendText(b, item.Data)
		b = binary.AppendUvarint(b, millis(item.Ends))
	}
	b = binary.AppendUvarint(b, uint64(len(k.Keys)))
	for _, key := range k.Keys {
		b = record.AppendText(b, key.Key)
		b = binary.AppendUvarint(b, key.Seq)
		b = binary.AppendUvarint(b, millis(key.At))
	}
	return append([]byte(valueMagic), record.Seal([]byte(key), s2.Encode(nil, b))...)
}

// millis is a time in ms since 1970; 0 for none.
func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(1, t.UnixMilli()))
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// decode reads what encode has written under a key.
func decode(key string, b []byte) (s saved, err error) {
	if len(b) < len(valueMagic) || string(b[:3]) != valueMagic[:3] {
		return s, record.ErrCorrupt
	}
	if b[3] != valueMagic[3] {
		return s, fmt.Errorf("%w: a checkpoint has format %q, this version reads %q: start the other version, or use another cluster.name", ErrFormat, b[:4], valueMagic)
	}
	packed, ok := record.Unseal([]byte(key), b[len(valueMagic):])
	if !ok {
		return s, record.ErrCorrupt
	}
	plain, err := s2.Decode(nil, packed)
	if err != nil {
		return s, record.ErrCorrupt
	}
	r := record.Scanner{Rest: plain}
	s.mark, s.generation = place{r.Uint(), r.Uint()}, r.Uint()
	s.gone = r.Uint() == 1
	k := &s.kept
	k.Position = broker.Position{Epoch: string(r.Text()), Seq: r.Uint()}
	for n := r.Uint(); n > 0 && !r.Fail; n-- {
		k.Forks = append(k.Forks, broker.Fork{Epoch: string(r.Text()), Seq: r.Uint()})
	}
	for n := r.Uint(); n > 0 && !r.Fail; n-- {
		c := r.Body()
		k.Changes = append(k.Changes, c.Kept())
	}
	for n := r.Uint(); n > 0 && !r.Fail; n-- {
		item := broker.KeptItem{Group: string(r.Text()), Key: string(r.Text()), Data: slices.Clone(r.Text())}
		item.Ends = timeOf(r.Millis())
		k.Items = append(k.Items, item)
	}
	for n := r.Uint(); n > 0 && !r.Fail; n-- {
		k.Keys = append(k.Keys, broker.KeptKey{Key: string(r.Text()), Seq: r.Uint(), At: timeOf(r.Millis())})
	}
	if r.Fail || len(r.Rest) > 0 || uint64(len(k.Changes)) > k.Position.Seq {
		return s, record.ErrCorrupt
	}
	return s, nil
}

// keepAll is the policy of deltas: what is too much is trimmed of the whole.
var keepAll = broker.Policy{History: math.MaxInt / 4, HistoryTTL: -1, HistoryBytes: -1, Idempotency: math.MaxInt64, IdempotencyKeys: -1}

// mostForks bounds the earlier epochs of a channel that are kept.
const mostForks = 8

// add puts later records over what was saved.
func (s *saved) add(entries []entry) error {
	d, from, imported := record.Delta{Policy: keepAll}, s.mark, s.generation == foreign
	for _, e := range entries {
		if !e.after(from) { // those of one frame are at one place
			continue
		}
		if err := d.Take(e.record); err != nil {
			return err
		}
		s.mark, s.generation = e.place, e.generation
	}
	if d.Epoch == "" && !d.Gone { // nothing has come
		return nil
	}
	if s.gone || imported && !d.Follows(s.kept.Position.Seq) && d.Follows(0) { // in its place another process had begun the channel: see Import
		s.kept = broker.Kept{}
	}
	if !d.Follows(s.kept.Position.Seq) {
		return fmt.Errorf("records before those in the log are missing: %w", record.ErrCorrupt)
	}
	there, err := d.Fold(&s.kept)
	if err != nil {
		return err
	}
	s.gone = !there
	s.kept.Forks = s.kept.Forks[max(0, len(s.kept.Forks)-mostForks):]
	return nil
}

// trim drops what is beyond the policy.
func (s *saved) trim(policy broker.Policy, now time.Time) {
	k := &s.kept
	if s.gone {
		s.kept = broker.Kept{Position: k.Position}
		return
	}
	from := max(0, len(k.Changes)-policy.History)
	if policy.HistoryTTL > 0 {
		for from < len(k.Changes) && now.Sub(k.Changes[from].At) > policy.HistoryTTL {
			from++
		}
	}
	for size, i := 0, len(k.Changes)-1; policy.HistoryBytes > 0 && i >= from; i-- {
		if size += len(k.Changes[i].Data) + len(k.Changes[i].Group) + len(k.Changes[i].Key); size > policy.HistoryBytes && i < len(k.Changes)-1 {
			from = i + 1
		}
	}
	k.Changes = k.Changes[from:]
	k.Keys = slices.DeleteFunc(k.Keys, func(key broker.KeptKey) bool { return now.Sub(key.At) > policy.Idempotency })
	if most := policy.IdempotencyKeys; most > 0 {
		k.Keys = k.Keys[max(0, len(k.Keys)-most):]
	}
}
