package settings

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"weir/internal/wire"
	"weir/relay/config"
	"weir/relay/systems/webhook"
)

// maxWebhooks bounds how many are told of one event.
const maxWebhooks = 64

// webhooks checks who is told of events.
func (k *check) webhooks(c config.Config) {
	if len(c.Webhooks) > 0 && !slices.Contains(c.Systems, config.SystemWebhook) {
		k.add("webhooks", "nobody is told: the system is off. Expected webhook in the list systems")
	}
	if len(c.Webhooks) > maxWebhooks {
		k.add("webhooks", "%d webhooks: expected at most %d", len(c.Webhooks), maxWebhooks)
	}
	names := make(map[string]int)
	for i, w := range c.Webhooks {
		key := element("webhooks", i)
		if w.Name == "" || len(w.Name) > 64 || strings.Trim(w.Name, nameBytes) != "" {
			k.add(join(key, "name"), "%s is not a name: expected 1 to 64 letters, digits, dots, dashes and underscores", shown(w.Name))
		} else if first, twice := names[w.Name]; twice {
			k.add(join(key, "name"), "%s is the name of webhooks[%d], too", shown(w.Name), first)
		}
		names[w.Name] = i
		k.webhookURL(join(key, "url"), w.URL, w.AllowInsecure || c.Dev)
		if len(w.Topics) == 0 {
			k.add(join(key, "topics"), `expected the topics that it is told of, such as [chat.message.sent, "feed.*"]`)
		}
		k.topics(join(key, "topics"), w.Topics)
		k.signers(join(key, "secrets"), w.Secrets)
		k.span(join(key, "timeout"), w.Timeout, 10*time.Millisecond, 2*time.Second)
		k.span(join(key, "retry"), w.Retry, time.Second, 24*time.Hour)
		k.count(join(key, "queue"), w.Queue, 1, 100_000)
		k.count(join(key, "batch"), w.Batch, 1, 100)
	}
}

// authWebhook checks who is asked what clients may do.
func (k *check) authWebhook(c config.Config) {
	w := c.Auth.Webhook
	if w.URL == "" {
		for _, name := range sortedNames(c.Namespaces) {
			n, key := c.Namespaces[name], join("namespaces", name)
			for op, access := range map[string]config.Access{"subscribe": n.Subscribe, "publish": n.Publish} {
				if access == config.ByWebhook {
					k.add(join(key, op), `"webhook" needs somebody to ask: set auth.webhook.url`)
				}
			}
		}
		return
	}
	k.webhookURL("auth.webhook.url", w.URL, w.AllowInsecure || c.Dev)
	k.signers("auth.webhook.secrets", w.Secrets)
	k.span("auth.webhook.timeout", w.Timeout, 10*time.Millisecond, 2*time.Second)
	k.span("auth.webhook.cache", w.Cache, 0, time.Hour)
}

// signers checks the secrets that requests are signed with.
func (k *check) signers(key string, secrets []string) {
	if n := len(secrets); n < 1 || n > 2 {
		k.add(key, "expected one secret, or two while one replaces the other: whsec_ and 32 random bytes in base64, "+
			"e.g. whsec_$(openssl rand -base64 32)")
	}
	for i, secret := range secrets {
		if secret == redacted {
			k.add(element(key, i), "%s stands for a secret in the output of config print: expected the secret", redacted)
		} else if _, err := webhook.ParseSecret(secret); err != nil {
			k.add(element(key, i), "%s", err)
		}
	}
}

// topics checks patterns of topics.
func (k *check) topics(key string, list []string) {
	for i, topic := range list {
		if name := strings.TrimSuffix(topic, "*"); topic == "" || name != "" && !wire.ValidName(name) {
			k.add(element(key, i), `%s is not a topic: expected a name such as chat.message.sent, one that ends in *, or "*"`, shown(topic))
		}
	}
}

// webhookURL shows no part of the address, which may hold a password by mistake.
func (k *check) webhookURL(key, address string, insecure bool) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		k.add(key, "not an absolute address: expected one such as https://shop.example.com/events")
		return
	}
	addr, err := netip.ParseAddr(u.Hostname())
	private := err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()) || u.Hostname() == "localhost"
	switch {
	case u.User != nil || u.Fragment != "":
		k.add(key, "holds a user or a fragment: expected an address without")
	case u.Scheme != "https" && (u.Scheme != "http" || !insecure):
		k.add(key, "not an https address: http needs allow_insecure, for backends beside the relay")
	case private && !insecure:
		k.add(key, "a private address, which needs allow_insecure: only public ones are called without")
	}
}
