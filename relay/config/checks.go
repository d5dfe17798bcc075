package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"weir/internal/sign"
	"weir/internal/units"
	"weir/internal/wire"
	"weir/relay/auth"
)

// maxNamespace bounds a namespace: a channel name has at most 255 bytes, of which a colon and one more are not the namespace.
const maxNamespace = 253

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Key     string // full key path, such as auth.keys[0].secret
	Message string // what is wrong and what was expected; holds no secret and no line break
}

// Checks gathers what is wrong with a configuration, and what is odd and good all the same.
type Checks struct {
	Problems []Problem
	Notes    []string
}

// Check returns what is wrong with a configuration that has its defaults: values out of range, settings that contradict each other,
// and files that it names and that are not what they should be. Paths are relative to the working directory.
func Check(c Config) *Checks {
	k := &Checks{}
	k.essentials(c)
	k.addresses(c)
	Walk(&c, k.field)
	if l := c.Limit; l.Queue < l.Message {
		k.Add("limits.queue", "%v is less than limits.message (%v): the largest message could not wait", l.Queue, l.Message)
	}
	k.Topics("events.clients", c.Events.Clients)
	k.tokens(c)
	k.apiKeys(c)
	for _, name := range slices.Sorted(maps.Keys(c.Namespaces)) {
		k.namespace(name, c.Namespaces[name], c.Limit)
	}
	k.files(c)
	k.tracing(c.Tracing)
	for _, s := range c.Known {
		if s.Check != nil {
			s.Check(&c, k)
		}
	}
	return k
}

// essentials checks what a relay could not work with, and what would open it to everybody.
func (k *Checks) essentials(c Config) {
	k.listeners(c)
	k.required(c)
	k.cluster(c)
	if l := c.Limit; l.Request < l.Message {
		k.Add("limits.request", "%v is less than limits.message (%v): no request could carry the largest message", l.Request, l.Message)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Namespaces)) {
		if c.Namespaces[name].Durable && c.Data == "" && !c.Cluster.On() {
			k.Add(Join(Join("namespaces", name), "durable"), "there is no data directory: set data, or --data")
		}
	}
}

// Add adds a problem.
func (k *Checks) Add(key, format string, args ...any) {
	k.Problems = append(k.Problems, Problem{Key: key, Message: fmt.Sprintf(format, args...)})
}

// field checks a setting against the tags and the type of its field.
func (k *Checks) field(path string, f Field) {
	v := reflect.Indirect(f.Value)
	if !v.IsValid() { // nobody has set it, and it has no default
		return
	}
	if words := f.Tag.Get("oneof"); words != "" {
		k.OneOf(path, v.String(), strings.Fields(words)...)
	}
	if least, most, ok := strings.Cut(f.Tag.Get("range"), ".."); ok {
		from, to := reflect.New(v.Type()).Elem(), reflect.New(v.Type()).Elem()
		mustParse(from, path, least)
		mustParse(to, path, most)
		if v.Int() < from.Int() || v.Int() > to.Int() {
			k.Add(path, "%s is out of range: expected %s to %s", Format(v), Format(from), Format(to))
		}
	}
	switch x := v.Interface().(type) {
	case units.Rate:
		if x.Count < 1 || x.Per <= 0 {
			k.Add(path, "not a rate: expected a count per s, m or h, such as 50/s, or none")
		}
	case Access:
		if !slices.Contains(accesses, x) {
			k.Add(path, "%s is not a kind of access: expected public, authenticated, member, capability, webhook or backend", Quote(string(x)))
		}
	}
}

var accesses = []Access{Public, Authenticated, Member, Capability, ByWebhook, Backend}

func (k *Checks) namespace(name string, n Namespace, limit Limit) {
	key := Join("namespaces", name)
	switch {
	case strings.Contains(name, ":"):
		k.Add(key, "the name holds a colon: expected what comes before the first colon of a channel name")
	case name == "" || len(name) > maxNamespace || name[0] == '.' || strings.Trim(name, namespaceBytes) != "":
		k.Add(key, "not a namespace: expected 1 to %d of A-Z a-z 0-9 _ . - / @ ~ =, not beginning with a dot", maxNamespace)
	}
	if limit.Message > 0 && n.Limit.Message > limit.Message {
		k.Add(key+".limits.message", "%v is more than limits.message (%v), which holds for the whole relay", n.Limit.Message, limit.Message)
	}
}

// namespaceBytes is the alphabet of channel names without the colon.
const namespaceBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/@~="

// OneOf refuses a word that is not allowed.
func (k *Checks) OneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		last := len(allowed) - 1
		k.Add(key, "%s is not possible here: expected %s or %s", Quote(value), strings.Join(allowed[:last], ", "), allowed[last])
	}
}

// Topics checks patterns of topics.
func (k *Checks) Topics(key string, list []string) {
	for i, topic := range list {
		if name := strings.TrimSuffix(topic, "*"); topic == "" || name != "" && !wire.ValidName(name) {
			k.Add(Element(key, i), `%s is not a topic: expected a name such as chat.message.sent, one that ends in *, or "*"`, Quote(topic))
		}
	}
}

// Address checks the address of a backend. It shows no part of it, which may hold a password by mistake.
func (k *Checks) Address(key, address string, insecure bool) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		k.Add(key, "not an absolute address: expected one such as https://shop.example.com/events")
		return
	}
	addr, err := netip.ParseAddr(u.Hostname())
	private := err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()) || u.Hostname() == "localhost"
	switch {
	case u.User != nil || u.Fragment != "":
		k.Add(key, "holds a user or a fragment: expected an address without")
	case u.Scheme != "https" && (u.Scheme != "http" || !insecure):
		k.Add(key, "not an https address: http needs allow_insecure, for backends beside the relay")
	case private && !insecure:
		k.Add(key, "a private address, which needs allow_insecure: only public ones are called without")
	}
}

// Label refuses what is not a name to show to operators.
func (k *Checks) Label(key, name string) bool {
	if auth.ValidName(name) {
		return true
	}
	k.Add(key, "%s is not a name: expected 1 to 64 letters, digits, dots, dashes and underscores", Quote(name))
	return false
}

// Signers checks the secrets that requests are signed with.
func (k *Checks) Signers(key string, secrets []string) {
	if n := len(secrets); n < 1 || n > 2 {
		k.Add(key, "expected one secret, or two while one replaces the other: whsec_ and 32 random bytes in base64, "+
			"e.g. whsec_$(openssl rand -base64 32)")
	}
	for i, secret := range secrets {
		if secret == Redacted {
			k.Add(Element(key, i), "%s stands for a secret in the output of config print: expected the secret", Redacted)
		} else if _, err := sign.ParseSecret(secret); err != nil {
			k.Add(Element(key, i), "%s", err)
		}
	}
}
