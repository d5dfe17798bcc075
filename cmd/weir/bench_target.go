package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"os"
	"slices"
	"strings"

	"weir/loadtest"
	"weir/loadtest/protocol"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// targetFlags say what is measured. They change what the scenario file says of it.
type targetFlags struct {
	Target    string `placeholder:"KIND" help:"weir, centrifugo, pusher, mercure, nchan, sse or ws; a preset: action-cable, graphql, phoenix, socket.io, supabase; a file with a target section, which describes its protocol; or json, described by flags. Default: weir."`
	URL       string `name:"url" placeholder:"URL" help:"Where the target is. Default: http://127.0.0.1:8080. Several nodes with commas between, such as http://a:8080,http://b:8080: connections take them in turn. {channel} in it stands for a channel (nchan, sse, ws), {{VARIABLE}} for variables of a target that is described."`
	Publish   string `name:"publish-url" placeholder:"URL" help:"Where to publish, if that is elsewhere; several nodes as for --url."`
	Close     bool   `name:"publish-close" help:"Close each publisher's connection after each request, as PHP does."`
	Transport string `enum:"ws,sse,ws-whole,sse-whole" default:"ws" placeholder:"ws|sse" help:"What weir's subscribers use. With -whole they do not ask for the short form of batches. Default: ws."`
	Own       bool   `name:"i-own-this-target" help:"Load a target on another machine. It must be yours."`
	Key       string `placeholder:"KEY" help:"What publishers authenticate with. Default for weir: dev. For pusher: app:key:secret. For mercure: a publisher's token; default: one of the key of the protocol's documentation."`
	Token     string `xor:"token" placeholder:"TOKEN" help:"Token of all subscribers. They are one user then, and a relay may limit the connections of a user."`
	Secret    string `xor:"token" placeholder:"SECRET" help:"Make each subscriber a token with this HS256 secret. Default: that of weir serve --dev, for a weir on this machine; or $$WEIR_AUTH_SECRET."`
	Tokens    string `name:"token-file" xor:"token" placeholder:"FILE" help:"A token a line: client i has that of line i, and the first again after the last."`
	SignWith  string `name:"token-key" xor:"token" placeholder:"FILE" help:"Make each subscriber a token with this private key in PEM: RS256 for RSA, ES256 for P-256."`
	KeyID     string `name:"kid" placeholder:"ID" help:"Key id (kid) in the tokens of --secret and --token-key."`
	Claims    string `placeholder:"JSON" help:"Claims of the tokens of --secret and --token-key, over those that weir needs; {{user}} stands for the user."`

	Header      []string `sep:"none" placeholder:"NAME: VALUE" help:"A header of subscribers' requests; may be repeated."`
	Cookie      []string `sep:"none" placeholder:"NAME=VALUE" help:"A cookie of subscribers' requests; may be repeated."`
	Origin      string   `placeholder:"ORIGIN" help:"Origin of subscribers' requests."`
	Subprotocol string   `placeholder:"NAME" help:"WebSocket subprotocol that is asked for."`
	Insecure    bool     `help:"Do not verify the target's certificate."`
	CA          string   `name:"ca" placeholder:"FILE" help:"PEM file of certificates to trust instead of the system's."`

	Var     []string `sep:"none" placeholder:"NAME=VALUE" help:"A variable of a target that is described; may be repeated."`
	Rows    string   `placeholder:"FILE" help:"CSV with a header, or JSON lines: {{row.NAME}} of a target that is described."`
	Send    []string `sep:"none" placeholder:"TEXT" help:"Message to send after opening; may be repeated. One with {{channel}} is sent for each channel."`
	Answer  []string `sep:"none" placeholder:"TEXT=>TEXT" help:"Send the second when the first arrives, such as ping=>pong; may be repeated."`
	Channel string   `name:"message-channel" placeholder:"PATH" help:"Where the channel is in a published message that arrives, such as data.channel."`
	Data    string   `name:"message-data" placeholder:"PATH" help:"Where the payload is in it. Default: the whole message."`
	Before  string   `name:"message-prefix" placeholder:"TEXT" help:"What published messages begin with, before their JSON."`
	Body    string   `name:"publish-body" placeholder:"TEXT" help:"Body of the request that publishes, with {{channel}} and {{payload}}."`
	Method  string   `name:"publish-method" placeholder:"METHOD" help:"Method of that request. Default: POST. GET, HEAD and DELETE need no body."`
	With    []string `name:"publish-header" sep:"none" placeholder:"NAME: VALUE" help:"A header of that request; may be repeated."`
	Over    string   `name:"publish-send" placeholder:"TEXT" help:"Message that publishes over a WebSocket, instead of a request."`
}

// section is the description of the target; nil when it is a kind that has none.
func (f *targetFlags) section(s scenario.Scenario) (*protocol.Protocol, error) {
	var p *protocol.Protocol
	switch {
	case f.Target == "":
		p = s.Target
	case f.Target == "json":
		p = &protocol.Protocol{}
	case strings.HasSuffix(f.Target, ".yaml") || strings.HasSuffix(f.Target, ".yml"):
		file, err := scenario.ReadFile(f.Target)
		if err != nil {
			return nil, benchError(err)
		}
		if p = file.Target; p == nil {
			return nil, wrongf("bench: --target %s: expected a target section in it", f.Target)
		}
	default:
		named, err := protocol.Preset(f.Target)
		if err != nil || named == nil {
			return nil, err
		}
		p = named
		p.Use = f.Target
	}
	if p == nil {
		return nil, nil
	}
	own := *p // the scenario's stays as it is
	return &own, f.describe(&own)
}

// pair splits NAME=VALUE.
func pair(flag, text, between string) (name, value string, err error) {
	name, value, ok := strings.Cut(text, between)
	if !ok || strings.TrimSpace(name) == "" {
		return "", "", wrongf("bench: --%s %q: expected NAME%sVALUE", flag, text, between)
	}
	return strings.TrimSpace(name), strings.TrimSpace(value), nil
}

// describe puts what the flags say into a description.
func (f *targetFlags) describe(p *protocol.Protocol) error {
	for _, m := range []struct {
		flag, between string
		list          []string
		to            *map[string]string
	}{{"header", ":", f.Header, &p.Headers}, {"cookie", "=", f.Cookie, &p.Cookies}, {"publish-header", ":", f.With, &p.Publish.Headers}, {"var", "=", f.Var, &p.Vars}} {
		if len(m.list) > 0 {
			if *m.to = maps.Clone(*m.to); *m.to == nil {
				*m.to = map[string]string{}
			}
		}
		for _, text := range m.list {
			name, value, err := pair(m.flag, text, m.between)
			if err != nil {
				return err
			}
			(*m.to)[name] = value
		}
	}
	for _, v := range []struct{ to, from *string }{
		{&p.Origin, &f.Origin}, {&p.Subprotocol, &f.Subprotocol}, {&p.CA, &f.CA}, {&p.Rows, &f.Rows},
		{&p.Message.Channel, &f.Channel}, {&p.Message.Data, &f.Data}, {&p.Message.Prefix, &f.Before},
	} {
		*v.to = cmp.Or(*v.from, *v.to)
	}
	p.Insecure = p.Insecure || f.Insecure
	if len(f.Send) > 0 {
		p.Open = nil
	}
	for _, text := range f.Send {
		p.Open = append(p.Open, protocol.Step{Send: text})
	}
	for _, text := range f.Answer {
		when, send, ok := strings.Cut(text, "=>")
		if !ok {
			return wrongf("bench: --answer %q: expected TEXT=>TEXT, such as ping=>pong", text)
		}
		p.Answer = append(slices.Clone(p.Answer), protocol.Answer{When: protocol.Pattern{Text: when}, Send: send})
	}
	switch {
	case f.Over != "" && (f.Body != "" || f.Method != "" || len(f.With) > 0):
		return wrongf("bench: --publish-send: expected no --publish-body, --publish-method or --publish-header beside it")
	case f.Body != "":
		p.Publish.Body, p.Publish.Send, p.Publish.Open, p.Publish.Item, p.Publish.Batch = f.Body, "", nil, "", 0
	case f.Over != "":
		p.Publish = protocol.Publish{Send: f.Over, Open: p.Publish.Open}
	}
	p.Publish.Method = cmp.Or(f.Method, p.Publish.Method)
	return nil
}

// extra are headers for a kind of server that has no description; what only a description can use is refused.
func (f *targetFlags) extra(kind string) (list [][2]string, err error) {
	for _, only := range []struct {
		flag  string
		given bool
	}{
		{"var", len(f.Var) > 0}, {"rows", f.Rows != ""}, {"send", len(f.Send) > 0}, {"answer", len(f.Answer) > 0}, {"message-channel", f.Channel != ""},
		{"message-data", f.Data != ""}, {"message-prefix", f.Before != ""}, {"publish-body", f.Body != ""}, {"publish-method", f.Method != ""}, {"publish-header", len(f.With) > 0}, {"publish-send", f.Over != ""},
	} {
		if only.given {
			return nil, wrongf("bench: --%s: not for the target %s, whose protocol is fixed: expected --target json, a preset or a file beside it", only.flag, kind)
		}
	}
	p := &protocol.Protocol{}
	if err := f.describe(p); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Headers)) {
		list = append(list, [2]string{name, p.Headers[name]})
	}
	var cookies []string
	for _, name := range slices.Sorted(maps.Keys(p.Cookies)) {
		cookies = append(cookies, name+"="+p.Cookies[name])
	}
	for _, h := range [][2]string{{"Origin", p.Origin}, {"Sec-WebSocket-Protocol", p.Subprotocol}, {"Cookie", strings.Join(cookies, "; ")}} {
		if h[1] != "" {
			list = append(list, h)
		}
	}
	for _, h := range list {
		if strings.ContainsAny(h[0]+h[1], "\r\n") {
			return nil, wrongf("bench: header %q: expected one line", h[0])
		}
	}
	return list, nil
}

// config is the load test of a scenario.
func (f *targetFlags) config(p *program, s scenario.Scenario) (loadtest.Config, error) {
	cfg := loadtest.Config{Scenario: s, Unit: true, Own: f.Own, Command: commandLine(os.Args)}
	for _, v := range [][2]string{{"token", f.Token}, {"key", f.Key}, {"origin", f.Origin}, {"subprotocol", f.Subprotocol}} {
		if strings.ContainsAny(v[1], "\r\n") {
			return cfg, wrongf("bench: --%s: expected one line", v[0])
		}
	}
	described, err := f.section(s)
	if err != nil {
		return cfg, err
	}
	name, verify := cmp.Or(f.Target, "weir"), protocol.Protocol{Insecure: f.Insecure, CA: f.CA}
	cfg.Target = target.Options{URL: f.URL, Publish: f.Publish, Close: f.Close, Key: f.Key, Transport: f.Transport}
	if described != nil {
		name, verify = cmp.Or(described.Use, f.Target, s.Name), *described
		cfg.Target.URL = cmp.Or(f.URL, described.URL)
	}
	if described != nil && !slices.Contains(target.Names(), name) {
		cfg.Target.Protocol = described
	} else if cfg.Target.Headers, err = f.extra(name); err != nil {
		return cfg, err
	}
	cfg.Target.URL = cmp.Or(cfg.Target.URL, target.DefaultURL)
	if cfg.Target.Name = name; name == "weir" {
		cfg.Target.System = s.System
	} else if f.Transport != "ws" && f.Transport != "" {
		return cfg, wrongf("bench: --transport %s: expected weir as the target, not %s", f.Transport, name)
	} else {
		cfg.Target.Transport = ""
	}
	_, at, _, err := target.New(cfg.Target)
	if err != nil {
		return cfg, benchError(err)
	}
	if cfg.TLS, err = trust(verify, at.TLS); err != nil {
		return cfg, err
	}
	cfg.FindPID = at.Loopback()
	cfg.Token, err = f.tokens(p, s, name == "weir" && at.Loopback())
	return cfg, err
}

// trust is how certificates are verified; nil: as the system does.
func trust(p protocol.Protocol, https bool) (*tls.Config, error) {
	switch {
	case !p.Insecure && p.CA == "":
		return nil, nil
	case !https:
		return nil, wrongf("bench: --insecure or --ca: expected an address that begins with https")
	case p.Insecure && p.CA != "":
		return nil, wrongf("bench: --insecure and --ca: expected one of them")
	case p.Insecure:
		return &tls.Config{InsecureSkipVerify: true}, nil //nolint:gosec // asked for by name
	}
	pem, err := os.ReadFile(p.CA)
	if err != nil {
		return nil, wrongf("bench: --ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, wrongf("bench: --ca %s: expected certificates in PEM", p.CA)
	}
	return &tls.Config{RootCAs: pool}, nil
}
