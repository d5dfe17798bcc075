package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"weir/internal/keyfile"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/config/loader"
)

type tokenCommand struct {
	Dev    bool   `xor:"key" help:"Sign with the secret of development mode, for weir serve --dev: the published one, or $$WEIR_DEV_TOKEN_SECRET."`
	Config string `short:"c" xor:"key" placeholder:"FILE" help:"Sign with an HS256 key of this configuration, for its issuer and audience (or $$WEIR_CONFIG)."`
	Secret string `xor:"key" placeholder:"SECRET" help:"Sign with this secret; - reads it from the standard input. Others can see it in the list of processes: prefer that or $$WEIR_AUTH_SECRET."`
	KeyID  string `name:"kid" placeholder:"ID" help:"Id of the key: which one of the configuration to use, or what to name the secret."`

	Sub     string        `required:"" placeholder:"USER" help:"Id of the user."`
	Name    string        `placeholder:"NAME" help:"Name to show to others."`
	Avatar  string        `placeholder:"URL" help:"Picture to show to others."`
	Role    []string      `sep:"none" placeholder:"ROLE" help:"Role of the user; may be repeated."`
	Channel []string      `sep:"none" placeholder:"PATTERN:OPS" help:"Channels the user may use, such as room:*:subscribe,publish; may be repeated. OPS: subscribe, publish, history, presence."`
	TTL     time.Duration `name:"ttl" default:"24h" placeholder:"TIME" help:"How long the token is valid. Default: 24h."`
}

// Help is the detailed help of the command.
func (*tokenCommand) Help() string {
	return "Prints the token and nothing else. In production your own backend makes the tokens; this command is for trying things out. weir token check TOKEN reports whether a relay accepts one, and why not."
}

// Run prints the token.
func (t *tokenCommand) Run(p *program) error {
	claims := auth.Claims{Sub: t.Sub, Name: t.Name, Avatar: t.Avatar, Roles: t.Role, TTL: t.TTL}
	if t.TTL <= 0 {
		return wrongf("token: --ttl %v: expected more than 0, such as 24h", t.TTL)
	}
	var err error
	if claims.Channels, err = parseChannels(t.Channel); err != nil {
		return err
	}
	secret, kid, err := t.key(p, &claims)
	if err != nil {
		return err
	}
	token, err := auth.Mint(secret, kid, claims)
	if err != nil {
		return wrongf("token: %w", err)
	}
	_, err = fmt.Fprintln(p.stdout, token)
	return err
}

// key finds what to sign with, and sets the claims that go with it.
func (t *tokenCommand) key(p *program, claims *auth.Claims) (secret, kid string, err error) {
	if t.Secret == "-" {
		secret, err = readLine(p.stdin, maxSecretLine)
		return secret, t.KeyID, err
	}
	secret, loaded, err := p.keys("token: no key to sign with", t.Dev, t.Secret, t.Config)
	if err != nil || loaded == nil {
		return secret, t.KeyID, err
	}
	return t.configured(cmp.Or(t.Config, p.getenv(loader.FileVar)), &loaded.Config, claims)
}

// keys is where the key of a token comes from: a secret, or what a configuration file holds, if one is named. missing is the
// error when there is neither.
func (p *program) keys(missing string, dev bool, secret, file string) (string, *loader.Loaded, error) {
	if dev {
		return cmp.Or(p.getenv("WEIR_DEV_TOKEN_SECRET"), auth.DevSecret), nil, nil
	}
	if secret != "" {
		return secret, nil, nil
	}
	if file = cmp.Or(file, p.getenv(loader.FileVar)); file != "" {
		loaded, err := loader.Load(loader.Source{Systems: known(), File: file, Env: p.env})
		if err != nil {
			return "", nil, &usageError{err}
		}
		return "", &loaded, nil
	}
	if secret = p.getenv("WEIR_AUTH_SECRET"); secret == "" {
		return "", nil, wrongf("%s: use --dev, --config, --secret or the variable WEIR_AUTH_SECRET", missing)
	}
	return secret, nil, nil
}

// configured is the first HS256 key of a configuration, or the one that --kid names.
func (t *tokenCommand) configured(file string, cfg *config.Config, claims *auth.Claims) (secret, kid string, err error) {
	i := slices.IndexFunc(cfg.Auth.Keys, func(k config.TokenKey) bool {
		return k.Algorithm == "HS256" && (t.KeyID == "" || k.ID == t.KeyID)
	})
	if i < 0 && t.KeyID != "" {
		return "", "", wrongf("token: %s has no HS256 key with the id %q", file, t.KeyID)
	}
	if i < 0 {
		return "", "", wrongf("token: %s has no HS256 key: tokens of other keys are made where the private key is", file)
	}
	claims.Issuer, claims.Audience = cfg.Auth.Issuer, cfg.Auth.Audience
	key := cfg.Auth.Keys[i]
	if key.Secret != "" {
		return key.Secret, key.ID, nil
	}
	data, _, err := keyfile.Read(key.File, maxSecretFile)
	if err != nil {
		return "", "", fmt.Errorf("token: %w", err)
	}
	return string(data), key.ID, nil
}

// Bounds of a secret on the standard input and in a file, in bytes.
const (
	maxSecretLine = 4 << 10
	maxSecretFile = 64 << 10
)

// readLine reads a secret that is not meant for the list of processes.
func readLine(r io.Reader, most int64) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return "", fmt.Errorf("token: read the standard input: %w", err)
	}
	line, _, _ := strings.Cut(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

// parseChannels reads the values of --channel. The last colon separates, since patterns hold colons too.
func parseChannels(values []string) (map[string][]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	channels := make(map[string][]string)
	for _, v := range values {
		i := strings.LastIndexByte(v, ':')
		// The operations "*" would make the pattern room:* mean everything in the channel "room".
		if i < 1 || v[i+1:] == "*" {
			return nil, wrongf("token: --channel %q: expected a pattern, a colon and operations, such as room:*:subscribe,publish", v)
		}
		if _, err := auth.ParseOps(v[i+1:]); err != nil {
			return nil, wrongf("token: --channel %q: expected a pattern, a colon, and some of subscribe, publish, history and presence, separated by commas", v)
		}
		for op := range strings.SplitSeq(v[i+1:], ",") {
			if op = strings.TrimSpace(op); !slices.Contains(channels[v[:i]], op) {
				channels[v[:i]] = append(channels[v[:i]], op)
			}
		}
	}
	return channels, nil
}
