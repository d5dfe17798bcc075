package protocol

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed presets/*.yaml
var files embed.FS

// presetFile is what of a preset's file is the protocol. The rest is for weir bench FILE.
type presetFile struct {
	About  string   `yaml:"about"`
	Target Protocol `yaml:"target"`
}

// Names are the presets.
func Names() (names []string) {
	list, _ := files.ReadDir("presets") // it is embedded
	for _, f := range list {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// file is the scenario file that a preset is; nil when there is none of that name.
func file(name string) []byte {
	b, err := files.ReadFile("presets/" + name + ".yaml")
	if err != nil {
		return nil
	}
	return b
}

// Preset is a copy of the preset of that name; nil when there is none.
func Preset(name string) (*Protocol, error) {
	if !slices.Contains(Names(), name) {
		return nil, nil
	}
	f, err := read(name)
	if err != nil {
		return nil, err
	}
	return &f.Target, nil
}

// About is what a preset is for, in a line.
func About(name string) string {
	f, _ := read(name) // a test reads all of them
	return f.About
}

func read(name string) (presetFile, error) {
	var f presetFile
	if err := yaml.UnmarshalWithOptions(file(name), &f); err != nil {
		return f, fmt.Errorf("preset %s: %w", name, err)
	}
	return f, nil
}
