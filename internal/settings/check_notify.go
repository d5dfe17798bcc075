package settings

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"weir/relay/config"
	"weir/relay/systems/notify"
)

// notify checks how devices are reached.
func (k *check) notify(c config.Config) {
	n := c.Notify
	k.span("notify.timeout", n.Timeout, 10*time.Millisecond, 10*time.Second)
	k.span("notify.retry", n.Retry, time.Second, time.Hour)
	k.span("notify.ttl", n.TTL, time.Second, 28*24*time.Hour)
	k.span("notify.keep", n.Keep, time.Minute, 366*24*time.Hour)
	k.count("notify.inbox", n.Inbox, 1, 1000)
	k.count("notify.devices", n.Devices, 1, 100)
	k.count("notify.queue", n.Queue, 1, 1_000_000)
	k.count("notify.parallel", n.Parallel, 1, 1024)
	k.webPush(n.WebPush)
	k.service("notify.fcm.url", n.FCM.URL, n.FCM.AllowInsecure || c.Dev)
	k.service("notify.apns.url", n.APNs.URL, n.APNs.AllowInsecure || c.Dev)
	if n.APNs.File != "" {
		k.apns(n.APNs)
	}
	uses := n.WebPush != (config.WebPush{}) || n.FCM.File != "" || n.APNs.File != ""
	if uses && !slices.Contains(c.Systems, config.SystemNotify) {
		k.add("notify", "nobody is notified: the system is off. Expected notify in the list systems")
	}
}

func (k *check) webPush(w config.WebPush) {
	const key = "notify.webpush"
	if w == (config.WebPush{}) {
		return
	}
	if (w.Secret == "") == (w.File == "") {
		k.add(key, "expected exactly one of secret and file; weir vapid prints a secret")
	}
	if w.Secret != "" {
		k.vapid(key+".secret", w.Secret)
	}
	if err := notify.CheckSubject(w.Subject); err != nil {
		k.add(key+".subject", "%s", err)
	}
}

func (k *check) vapid(key, secret string) {
	if secret == redacted {
		k.add(key, "%s stands for a secret in the output of config print: expected the secret", redacted)
	} else if _, err := notify.ParseVAPID(secret); err != nil {
		k.add(key, "%s", err)
	}
}

func (k *check) apns(a config.APNs) {
	for _, id := range []struct{ key, value string }{{"notify.apns.key_id", a.KeyID}, {"notify.apns.team_id", a.TeamID}} {
		if len(id.value) != 10 || strings.Trim(id.value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			k.add(id.key, "%s is not an id of Apple's: expected 10 capitals and digits", shown(id.value))
		}
	}
	if a.Topic == "" || len(a.Topic) > 255 || strings.Trim(a.Topic, nameBytes) != "" {
		k.add("notify.apns.topic", "%s is not a bundle id: expected one such as com.example.app", shown(a.Topic))
	}
}

// service checks the address of a push service.
func (k *check) service(key, text string, insecure bool) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		k.add(key, "not the address of a service: expected one such as https://push.example.com")
		return
	}
	addr, err := netip.ParseAddr(u.Hostname())
	private := err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()) || u.Hostname() == "localhost"
	if !insecure && (u.Scheme != "https" || private) || u.Scheme != "https" && u.Scheme != "http" {
		k.add(key, "not a public https address: others need allow_insecure, for tests")
	}
}

// notifyFiles reads the keys of push services.
func (k *check) notifyFiles(n config.Notify) {
	if data, ok := k.file("notify.webpush.file", n.WebPush.File); ok {
		k.vapid("notify.webpush.file", string(data))
	}
	if data, ok := k.file("notify.fcm.file", n.FCM.File); ok {
		if _, err := notify.ParseServiceAccount(data); err != nil {
			k.add("notify.fcm.file", "%s: %s", shown(n.FCM.File), err)
		}
	}
	if data, ok := k.file("notify.apns.file", n.APNs.File); ok {
		if _, err := notify.ParseAPNsKey(data); err != nil {
			k.add("notify.apns.file", "%s: %s", shown(n.APNs.File), err)
		}
	}
}
