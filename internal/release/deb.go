package main

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // the format
	"github.com/goreleaser/nfpm/v2/files"
)

// prepare runs after the package's files are there: a user, and secrets of this machine's own unless there are some.
const prepare = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  getent passwd weir >/dev/null || useradd --system --home-dir /var/lib/weir --no-create-home --shell /usr/sbin/nologin weir
  umask 077
  for secret in token-secret api-key; do
    [ -e /etc/weir/$secret ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >/etc/weir/$secret
    chown weir /etc/weir/$secret
  done
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload
`

// leave runs before the files go, purge after they have gone.
const (
	leave = `#!/bin/sh
set -e
[ "$1" != remove ] || [ ! -d /run/systemd/system ] || systemctl disable --now weir
`
	purge = `#!/bin/sh
set -e
[ "$1" != purge ] || rm -rf /etc/weir/token-secret /etc/weir/api-key
[ ! -d /run/systemd/system ] || systemctl daemon-reload
`
)

// deb writes weir_VERSION_ARCH.deb: the binary, a systemd unit that is not started, a configuration to edit, and a user.
func (r *release) deb(b built) (err error) {
	unit, err := os.ReadFile(r.file("docs", "deploy", "weir.service"))
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "weir-release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // nothing depends on it
	write := func(name string, contents []byte) string {
		path := filepath.Join(scratch, name)
		err = firstError(err, os.WriteFile(path, contents, 0o755)) //nolint:gosec // scripts are run
		return path
	}
	// The first lines say how to install it by hand.
	unit = unit[bytes.Index(unit, []byte("[Unit]")):]
	file := func(source, destination, kind string, mode os.FileMode) *files.Content {
		return &files.Content{Source: source, Destination: destination, Type: kind, FileInfo: &files.ContentFileInfo{Mode: mode, MTime: r.at, Owner: "root", Group: "root"}}
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "weir", Arch: b.arch, Platform: "linux", Version: r.version, VersionSchema: "semver", MTime: r.at,
		Section: "net", Priority: "optional", License: "MIT", Maintainer: "weir maintainers <maintainers@weir.invalid>",
		Description: "edge relay for WebSocket and Server-Sent Events\n Backends publish over HTTP; weir holds the connections of browsers and phones,\n orders and remembers what late joiners need, batches and fans out.",
		Overridables: nfpm.Overridables{
			Depends: []string{"passwd"}, Recommends: []string{"ca-certificates"},
			Contents: files.Contents{
				file(b.path, "/usr/bin/weir", "", 0o755),
				file(write("weir.service", bytes.ReplaceAll(unit, []byte("/usr/local/bin/"), []byte("/usr/bin/"))), "/usr/lib/systemd/system/weir.service", "", 0o644),
				file(r.file("docs", "deploy", "weir.yaml"), "/etc/weir/weir.yaml", files.TypeConfigNoReplace, 0o644),
				file(r.file("LICENSE"), "/usr/share/doc/weir/copyright", "", 0o644),
				file(r.file("CHANGELOG.md"), "/usr/share/doc/weir/CHANGELOG.md", "", 0o644),
			},
			Scripts: nfpm.Scripts{
				PostInstall: write("postinst", []byte(prepare)), PreRemove: write("prerm", []byte(leave)), PostRemove: write("postrm", []byte(purge)),
			},
		},
	})
	if err != nil {
		return err
	}
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return err
	}
	packager, err := nfpm.Get("deb")
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(r.out, packager.ConventionalFileName(info)))
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, f.Close()) }()
	return packager.Package(info, f)
}
