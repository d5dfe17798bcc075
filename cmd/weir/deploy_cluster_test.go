package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// object is what is looked at of an object of Kubernetes.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		ServiceName    string           `yaml:"serviceName"`
		Replicas       int              `yaml:"replicas"`
		Policy         string           `yaml:"podManagementPolicy"`
		ClusterIP      string           `yaml:"clusterIP"`
		NotReady       bool             `yaml:"publishNotReadyAddresses"`
		MaxUnavailable int              `yaml:"maxUnavailable"`
		Selector       map[string]any   `yaml:"selector"`
		Ports          []map[string]any `yaml:"ports"`
		Ingress        []map[string]any `yaml:"ingress"`
		Template       struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Ports []struct {
						Name          string
						ContainerPort int `yaml:"containerPort"`
					}
				}
			}
		}
	}
}

// The nodes on Kubernetes find each other by the names that the routes have, start together, go one at a time, and have the time that they need to hand over.
func TestKubernetesCluster(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(docs, "deploy", "kubernetes-cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]object)
	for d := yaml.NewDecoder(bytes.NewReader(b)); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[o.Kind+"/"+o.Metadata.Name] = o
	}
	set, nodes, budget := all["StatefulSet/weir"], all["Service/weir-nodes"], all["PodDisruptionBudget/weir"]
	var cfg struct {
		Listen, Admin string
		Cluster       struct {
			Embed struct {
				Listen string
				Routes []string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(all["ConfigMap/weir"].Data["weir.yaml"]), &cfg); err != nil {
		t.Fatal(err)
	}
	var routes []string
	for i := range set.Spec.Replicas {
		routes = append(routes, fmt.Sprintf("%s-%d.%s:6222", set.Metadata.Name, i, set.Spec.ServiceName))
	}
	if set.Spec.Replicas != 3 || !slices.Equal(cfg.Cluster.Embed.Routes, routes) || cfg.Cluster.Embed.Listen != "0.0.0.0:6222" {
		t.Errorf("routes %v, pods are %v", cfg.Cluster.Embed.Routes, routes)
	}
	if set.Spec.ServiceName != nodes.Metadata.Name || nodes.Spec.ClusterIP != "None" || !nodes.Spec.NotReady || set.Spec.Policy != "Parallel" {
		t.Error("nodes do not find each other before they are ready")
	}
	if budget.Spec.MaxUnavailable != 1 || set.Spec.Template.Spec.Grace < 60 {
		t.Error("more than one may go at a time, or none has the time to hand over")
	}
	ports := make(map[string]bool)
	for _, p := range set.Spec.Template.Spec.Containers[0].Ports {
		ports[fmt.Sprint(p.Name, " ", p.ContainerPort)] = true
	}
	for _, want := range []string{"http 8080", "admin 9090", "routes 6222"} {
		if !ports[want] {
			t.Errorf("no port %s", want)
		}
	}
	if policy := all["NetworkPolicy/weir"]; len(policy.Spec.Ingress) != 2 || strings.Contains(fmt.Sprint(policy.Spec.Ingress[0]), "routes") || policy.Spec.Ingress[1]["from"] == nil {
		t.Error("routes are open to others")
	}
}

// systemd takes the unit, and finds nothing in it that it would ignore.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	b, err := os.ReadFile(filepath.Join(docs, "deploy", "weir.service"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "weir.service")
	text := strings.ReplaceAll(strings.ReplaceAll(string(b), "/usr/local/bin/weir", program), "User=weir\n", "")
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "weir.service") {
			t.Errorf("systemd-analyze: %s", line)
		}
	}
	if err != nil && len(out) == 0 {
		t.Errorf("systemd-analyze: %v", err)
	}
}
