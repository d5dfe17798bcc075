package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"weir/relay/config"
	"weir/relay/config/loader"
)

// commands is the grammar of the command line.
type commands struct {
	Serve   serveCommand    `cmd:"" help:"Run the relay."`
	Token   tokenCommand    `cmd:"" help:"Print a token for a client, to try things out; token check TOKEN checks one."`
	Vapid   vapidCommand    `cmd:"" help:"Print a new pair of keys for web push."`
	Bench   benchCommands   `cmd:"" help:"Measure a relay, this one or others."`
	Record  recordCommand   `cmd:"" help:"Keep the shape of a running relay's traffic, for weir bench replay."`
	Config  configCommands  `cmd:"" help:"Check or show the configuration."`
	Data    dataCommands    `cmd:"" help:"Look at, check, save and restore what a relay has stored."`
	Cluster clusterCommands `cmd:"" help:"Look at a cluster, and move what its nodes own."`
	Outbox  outboxCommands  `cmd:"" help:"Make an outbox: a table of PostgreSQL that weir publishes from."`
	Pusher  pusherCommands  `cmd:"" help:"Try an app that uses the Pusher protocol."`
	Pub     pubCommand      `cmd:"" help:"Publish to a channel."`
	Sub     subCommand      `cmd:"" aliases:"tail" help:"Subscribe to channels and print what comes."`
	Doctor  doctorCommand   `cmd:"" help:"Look at a relay from outside, as a browser would: what is in the way, and what to change."`
	Why     whyCommand      `cmd:"" help:"Say what a relay decides about a client and a channel, and how it comes to that."`
	Trace   traceCommand    `cmd:"" help:"Say where a message is: in the log, in its window, on its way to whom."`
	Top     topCommand      `cmd:"" help:"Watch a relay: rates, latency, busy channels, slow readers."`
	Version versionCommand  `cmd:"" help:"Print the version."`

	// "token check": a command with flags of its own, as token is, cannot have others below it.
	TokenCheck tokenCheckCommand `cmd:"" name:"token check" hidden:"" help:"Say whether a relay takes a token, and why not."`

	ShowVersion versionFlag `name:"version" help:"Print the version."`
}

const description = `An edge relay: backends publish over HTTP, weir fans out to browsers and phones over WebSocket and Server-Sent Events.

To try it out: weir serve --dev`

// execute parses the command line and runs the command it names.
func (p *program) execute(args []string) error {
	helped := false
	parser, err := kong.New(&commands{},
		kong.Name("weir"),
		kong.Description(description),
		kong.Writers(p.stdout, p.stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
		kong.Exit(func(int) { helped = true }), // called for --help, after which parsing goes on
		kong.Bind(p),
	)
	if err != nil {
		return fmt.Errorf("build the command line: %w", err)
	}
	args = negatives(asked(parser.Model, args))
	if len(args) > 1 && args[0] == "token" && args[1] == "check" {
		args = append([]string{"token check"}, args[2:]...)
	}
	parsed, err := parser.Parse(args)
	switch {
	case helped:
		return nil
	case err != nil:
		// The parser's name for the end of the line is not for users.
		text := strings.ReplaceAll(err.Error(), `but got "EOL" (<EOL>)`, "after it")
		text = noValue.ReplaceAllString(text, "expected $1 value after it")
		return wrongf("%s (see weir --help)", text)
	}
	return parsed.Run()
}

// noValue is what the parser says of a number that is missing before another flag. To quote that, as it advises, helps with texts only.
var noValue = regexp.MustCompile(`expected (int|float|duration) value but got "-.*" \((?:long|short) flag\); perhaps try .*\?`)

// asked turns what people type to see what there is into --help: nothing at all, a group of commands without one of
// them, and help, as a command.
func asked(app *kong.Application, args []string) []string {
	if len(args) > 0 && args[0] == "help" {
		return append(slices.Clone(args[1:]), "--help")
	}
	node := app.Node
	for _, arg := range args {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == arg })
		if i < 0 {
			return args
		}
		node = node.Children[i]
	}
	if len(node.Children) > 0 {
		return append(slices.Clone(args), "--help")
	}
	return args
}

// negatives joins a number below zero with the flag before it, whose value it is. The parser would take it for a flag, of which none is a digit, and advise to quote it.
func negatives(args []string) []string {
	joined := make([]string, 0, len(args))
	for i, arg := range args {
		if arg == "--" {
			return append(joined, args[i:]...)
		}
		last := len(joined) - 1
		below := len(arg) > 1 && arg[0] == '-' && '0' <= arg[1] && arg[1] <= '9'
		switch {
		case below && last >= 0 && strings.HasPrefix(joined[last], "--") && !strings.Contains(joined[last], "="):
			joined[last] += "=" + arg
		case below && last >= 0 && len(joined[last]) == len("-n") && joined[last][0] == '-':
			joined[last] += arg
		default:
			joined = append(joined, arg)
		}
	}
	return joined
}

// configFlags are the flags of every command that reads the configuration.
type configFlags struct {
	Config         string  `short:"c" placeholder:"FILE" help:"Configuration file, in YAML (or $$WEIR_CONFIG). None is read unless it is named."`
	Listen         *string `placeholder:"ADDR" help:"Address for clients and backends. Default: 127.0.0.1:8080."`
	Admin          *string `placeholder:"ADDR" help:"Address for metrics, health and profiles; on loopback, unless there is an admin_token. Default: 127.0.0.1:9090."`
	Dev            bool    `help:"Development mode: a published secret, the API key \"dev\", open channels; on loopback, unless the two flags below have keys of your own."`
	DevTokenSecret *string `name:"dev-token-secret" placeholder:"SECRET" help:"In development mode, the secret of tokens in place of the published one (or $$WEIR_DEV_TOKEN_SECRET, which is not in the list of processes)."`
	DevAPIKey      *string `name:"dev-api-key" placeholder:"KEY" help:"In development mode, the API key in place of \"dev\" (or $$WEIR_DEV_API_KEY)."`
	TLSCert        *string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain of the public listener, in PEM; read again when it changes."`
	TLSKey         *string `name:"tls-key" placeholder:"FILE" help:"Private key of the certificate, in PEM."`
	Heartbeat      *string `placeholder:"TIME" help:"Time between pings to a client, 1s to 30s. Default: 25s."`
	Drain          *string `placeholder:"TIME" help:"Time over which a shutdown spreads its closes, up to 30s. Default: 10s."`
	Data           *string `placeholder:"DIR" help:"Directory of what durable namespaces and the systems keep. Default: none, all is in memory."`
	Cluster        *string `placeholder:"URL,URL" help:"Servers of NATS that make this process one node of a cluster, such as nats://n1:4222. Default: none, it is alone."`
	ClusterListen  *string `placeholder:"ADDR" help:"Or address for the routes of a NATS server within this process."`
	ClusterRoutes  *string `placeholder:"ADDR,ADDR" help:"Addresses of all such servers."`
	ClusterData    *string `placeholder:"DIR" help:"Directory of what the server within this process keeps."`
	Node           *string `placeholder:"NAME" help:"Name of this node in the cluster. Default: the host's."`
	LogLevel       *string `placeholder:"LEVEL" help:"debug, info, warn or error. Default: info."`
	LogFormat      *string `placeholder:"FORMAT" help:"json or text. Default: json."`
}

// source gathers everything that settings are read from.
func (f *configFlags) source(p *program) loader.Source {
	flags := make(map[string]string)
	for key, value := range map[string]*string{
		"listen": f.Listen, "admin": f.Admin, "tls.cert": f.TLSCert, "tls.key": f.TLSKey,
		"heartbeat": f.Heartbeat, "drain": f.Drain, "data": f.Data,
		"cluster.nats": f.Cluster, "cluster.embed.listen": f.ClusterListen, "cluster.embed.routes": f.ClusterRoutes,
		config.DevTokenSecretKey: f.DevTokenSecret, config.DevAPIKeyKey: f.DevAPIKey, "cluster.embed.data": f.ClusterData, "cluster.node": f.Node, "log.level": f.LogLevel, "log.format": f.LogFormat,
	} {
		if value != nil {
			flags[key] = *value
		}
	}
	if f.Dev {
		flags["dev"] = "true"
	}
	return loader.Source{Systems: known(), File: f.file(p), Env: p.env, Flags: flags}
}

// file is the configuration file; "" for none.
func (f *configFlags) file(p *program) string { return cmp.Or(f.Config, p.getenv(loader.FileVar)) }
