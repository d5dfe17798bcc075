package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"debug/macho"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// made is the directory of a release that was made: make release sets it.
func made(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("RELEASE")
	if dir == "" {
		t.Skip("RELEASE names no directory: make release makes one and tries it")
	}
	return dir
}

// one is the only file of a pattern for this machine.
func one(t *testing.T, pattern string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(made(t), strings.ReplaceAll(pattern, "ARCH", runtime.GOARCH)))
	if err != nil || len(list) != 1 {
		t.Fatalf("%s: %v, %v", pattern, list, err)
	}
	return list[0]
}

// output runs a command that must succeed.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// unpack writes the files of a tar archive below a new directory.
func unpack(t *testing.T, r io.Reader) string {
	t.Helper()
	dir := t.TempDir()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			contents, bad := io.ReadAll(in)
			err = firstError(bad, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, contents, os.FileMode(h.Mode))) //nolint:gosec // our own archive
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

var named = regexp.MustCompile(`^weir v\d+\.\d+\.\d+\S* \(go\S+ linux/\w+, revision [0-9a-f]{12}(, modified)?\)\n$`)

// The checksums are of what is there.
func TestSums(t *testing.T) {
	cmd := exec.Command("sha256sum", "--strict", "-c", "SHA256SUMS")
	cmd.Dir = made(t)
	output(t, cmd)
}

// The binary of the archive is static, and knows its version.
func TestArchive(t *testing.T) {
	f, err := os.Open(one(t, "weir-*-linux-ARCH.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is read
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := filepath.Glob(filepath.Join(unpack(t, z), "weir-*"))
	if err != nil || len(dirs) != 1 {
		t.Fatal(dirs, err)
	}
	if out := output(t, exec.Command(filepath.Join(dirs[0], "weir"), "version")); !named.MatchString(out) {
		t.Error(out)
	}
	b, err := elf.Open(filepath.Join(dirs[0], "weir"))
	if err != nil {
		t.Fatal(err)
	}
	if needs, err := b.ImportedLibraries(); len(needs) > 0 || err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		t.Error("the binary needs", needs, err)
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "weir.yaml", "weir.service"} {
		if _, err := os.Stat(filepath.Join(dirs[0], name)); err != nil {
			t.Error(err)
		}
	}
}

// Each binary, also those that this machine cannot run, is of the system that its archive names, and static; Debian packages are of theirs.
func TestSystems(t *testing.T) {
	list, err := filepath.Glob(filepath.Join(made(t), "weir-*.tar.gz"))
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	for _, path := range list {
		system := regexp.MustCompile(`-(linux|darwin)-(\w+)\.tar\.gz$`).FindStringSubmatch(path)
		if system == nil {
			t.Error(path, "names no system")
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		dirs, err := filepath.Glob(filepath.Join(unpack(t, z), "weir-*", "weir"))
		if _ = f.Close(); err != nil || len(dirs) != 1 {
			t.Fatal(dirs, err)
		}
		if system[1] == "darwin" {
			if b, err := macho.Open(dirs[0]); err != nil || b.Cpu != map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[system[2]] {
				t.Error(path, err)
			}
			continue
		}
		b, err := elf.Open(dirs[0])
		if err != nil || b.Machine != map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[system[2]] {
			t.Error(path, err)
			continue
		}
		if needs, err := b.ImportedLibraries(); len(needs) > 0 || err != nil && !errors.Is(err, elf.ErrNoSymbols) || b.Section(".interp") != nil {
			t.Error(path, "needs", needs, err)
		}
		pkg, err := filepath.Glob(filepath.Join(made(t), "weir_*_"+system[2]+".deb"))
		if err != nil || len(pkg) != 1 {
			t.Error(pkg, err)
		} else if _, err := exec.LookPath("dpkg-deb"); err == nil {
			if arch := output(t, exec.Command("dpkg-deb", "-f", pkg[0], "Architecture")); arch != system[2]+"\n" {
				t.Error(pkg, arch)
			}
		}
	}
}

// The commands of the package's unit run with what the package installs.
func TestDebianPackage(t *testing.T) {
	pkg := one(t, "weir_*_ARCH.deb")
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("this machine has no dpkg-deb")
	}
	root := t.TempDir()
	output(t, exec.Command("dpkg-deb", "-R", pkg, root))
	unit, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system/weir.service"))
	if err != nil {
		t.Fatal(err)
	}
	if conf, err := os.ReadFile(filepath.Join(root, "DEBIAN/conffiles")); err != nil || string(conf) != "/etc/weir/weir.yaml\n" {
		t.Errorf("%q, %v", conf, err)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		output(t, exec.Command("sh", "-n", filepath.Join(root, "DEBIAN", script)))
	}
	verifyUnit(t, root, unit)
	if os.Geteuid() != 0 {
		t.Skip("the commands of the unit name absolute paths: that takes a root directory of their own, and root for that")
	}
	for _, secret := range []string{"token-secret", "api-key"} { // as the script of the package does
		if err := os.WriteFile(filepath.Join(root, "etc/weir", secret), []byte(secret+strings.Repeat("0", 64)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commands := regexp.MustCompile(`(?m)^Exec(Start|StartPre)=(.*)$`).FindAllStringSubmatch(string(unit), -1)
	if len(commands) != 2 {
		t.Fatal(commands)
	}
	output(t, inside(t.Context(), root, strings.Fields(commands[0][2])...))
	listen, admin := freeAddresses(t)
	serve := inside(t.Context(), root, append(strings.Fields(commands[1][2]), "--listen", listen, "--admin", admin)...)
	serves(t, serve, admin)
}

// verifyUnit has systemd look at the unit, where there is one.
func verifyUnit(t *testing.T, root string, unit []byte) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("this machine has no systemd-analyze: the unit is not verified")
		return
	}
	path := filepath.Join(t.TempDir(), "weir.service")
	if err := os.WriteFile(path, bytes.ReplaceAll(unit, []byte("/usr/bin/weir"), []byte(root+"/usr/bin/weir")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := output(t, exec.Command("systemd-analyze", "verify", "--man=no", path)); strings.Contains(out, "weir.service") {
		t.Error(out)
	}
}

// The image holds what weir needs to run, and its configuration says how.
func TestImage(t *testing.T) {
	index, err := layout.ImageIndexFromPath(filepath.Join(made(t), "image"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 1 {
		t.Fatal(m, err)
	}
	inner, err := index.ImageIndex(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	images, err := inner.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range images.Manifests {
		if d.Platform.Architecture != runtime.GOARCH {
			continue
		}
		img, err := inner.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := img.ConfigFile()
		if err != nil || cfg.Config.User != "65532:65532" || cfg.OS != "linux" {
			t.Fatal(cfg, err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatal(layers, err)
		}
		files, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		root := unpack(t, files)
		if os.Geteuid() != 0 {
			t.Skip("an image is a root directory of its own: that takes root")
		}
		if out := output(t, inside(t.Context(), root, append(cfg.Config.Entrypoint, "version")...)); !named.MatchString(out) {
			t.Error(out)
		}
		listen, admin := freeAddresses(t)
		// In development mode as docs/deploying.md has it: on all addresses, with keys of one's own.
		_, port, _ := net.SplitHostPort(listen)
		as := func(args ...string) *exec.Cmd {
			cmd := inside(t.Context(), root, append(cfg.Config.Entrypoint, args...)...)
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
			cmd.Env = append(cmd.Env, "WEIR_DEV_TOKEN_SECRET="+strings.Repeat("s", 32), "WEIR_DEV_API_KEY="+strings.Repeat("k", 32))
			return cmd
		}
		serves(t, as("serve", "--dev", "--listen", "0.0.0.0:"+port, "--admin", admin), admin, func() {
			token := strings.TrimSpace(output(t, as("token", "--dev", "--sub", "ann")))
			for bearer, want := range map[string]int{strings.Repeat("k", 32): http.StatusOK, "dev": http.StatusUnauthorized, token: http.StatusUnauthorized} {
				if got := asked(t, http.MethodPost, "http://127.0.0.1:"+port+"/v1/publish", bearer, `{"channel":"demo:lobby","data":1}`); got != want {
					t.Errorf("publishing with %.8s: status %d, want %d", bearer, got, want)
				}
			}
			if got := asked(t, http.MethodGet, "http://127.0.0.1:"+port+"/sse?channel=demo:lobby", token, ""); got != http.StatusOK {
				t.Errorf("a stream with the token: status %d", got)
			}
		})
		return
	}
	t.Error("there is no image for " + runtime.GOARCH)
}

// The client for browsers installs and is imported by its name.
func TestClientPackage(t *testing.T) {
	pkg, dir := one(t, "weir-client-*.tgz"), t.TempDir()
	npm := exec.Command("npm", "install", "--silent", "--offline", "--no-audit", "--no-fund", "--prefix", dir, pkg)
	npm.Dir = dir
	output(t, npm)
	node := exec.Command("node", "--input-type=module", "-e", "import { connect } from 'weir-client'; import * as documents from 'weir-client/documents'; console.log(typeof connect, Object.keys(documents).length > 0)")
	node.Dir = dir
	if out := output(t, node); out != "function true\n" {
		t.Error(out)
	}
}

// inside is a command that has a directory for its root.
func inside(ctx context.Context, root string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Path, cmd.Err = args[0], nil
	cmd.Dir, cmd.Env = "/", []string{"PATH=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	return cmd
}

// asked is the status of a request.
func asked(t *testing.T, method, url, bearer, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// serves starts a relay, waits until it is ready, does with it what is wanted, and has it end well.
func serves(t *testing.T, cmd *exec.Cmd, admin string, ready ...func()) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, which ends with the test's context
	for deadline := time.Now().Add(30 * time.Second); ; {
		if resp, err := http.Get("http://" + admin + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("the relay has ended: %v\n%s", err, out.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("the relay is not ready\n%s", out.String())
		}
	}
	for _, f := range ready {
		f()
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// freeAddresses are two on loopback that nobody listens on: both were listened on at once, so that they differ.
func freeAddresses(t *testing.T) (listen, admin string) {
	t.Helper()
	var addresses [2]string
	for i := range addresses {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() //nolint:errcheck // it was only for the number
		addresses[i] = ln.Addr().String()
	}
	return addresses[0], addresses[1]
}
