package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/web"
)

// ingress is what is looked at of an Ingress of Kubernetes.
type ingress struct {
	Kind string
	Spec struct {
		Rules []struct {
			HTTP struct {
				Paths []struct {
					Path string
					Type string `yaml:"pathType"`
				}
			}
		}
	}
}

// lets reports whether the paths of an ingress let a request through.
func (in *ingress) lets(path string) bool {
	for _, rule := range in.Spec.Rules {
		for _, p := range rule.HTTP.Paths {
			if path == p.Path || p.Type == "Prefix" && strings.HasPrefix(path, strings.TrimSuffix(p.Path, "/")+"/") {
				return true
			}
		}
	}
	return false
}

// The ingress lets through every route that clients use, with all systems switched on, and none for backends.
func TestIngressLetsClientsThrough(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(docs, "deploy", "kubernetes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var in ingress
	for d := yaml.NewDecoder(bytes.NewReader(b)); in.Kind != "Ingress"; {
		in = ingress{}
		if err := d.Decode(&in); errors.Is(err, io.EOF) {
			t.Fatal("there is no Ingress")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	srv, err := newServer(config.Config{Dev: true, Known: known()}.WithDefaults(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer discard(t, srv)
	paths := web.Client()
	for i, name := range paths {
		paths[i] = "/" + name
	}
	for _, route := range srv.(*relay.Relay).Routes() {
		_, path, _ := strings.Cut(route, " ")
		paths = append(paths, regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x"))
	}
	clients := 0
	for _, path := range paths {
		switch {
		case path == "/": // the page for trying it out
		case strings.HasPrefix(path, "/v1/"):
			if in.lets(path) {
				t.Errorf("%s, which is for backends, is open", path)
			}
		case !in.lets(path):
			t.Errorf("%s is not let through", path)
		default:
			clients++
		}
	}
	if clients < 20 {
		t.Errorf("%d routes of clients, want all", clients)
	}
}
