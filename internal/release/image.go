package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nobody is the user in the image, as in docs/deploy/Dockerfile.
const nobody = 65532

// certificates are where systems keep the authorities that weir trusts when it calls out.
var certificates = []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}

// image writes an OCI image layout, image/, of an image for each binary: weir, the certificates of authorities, and nothing else.
func (r *release) image(list []built) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range list {
		img, err := r.imageOf(b)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: b.goos, Architecture: b.arch}}})
	}
	path, err := layout.Write(filepath.Join(r.out, "image"), empty.Index)
	if err != nil {
		return err
	}
	return path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.version}))
}

// imageOf is the image of a binary.
func (r *release) imageOf(b built) (v1.Image, error) {
	files, err := r.layer(b)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.at}, CreatedBy: "weir"}}); err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Created = b.goos, b.arch, v1.Time{Time: r.at}
	cfg.Config = v1.Config{
		User: "65532:65532", Entrypoint: []string{"/weir"}, Cmd: []string{"serve", "--config", "/etc/weir/weir.yaml"}, StopSignal: "SIGTERM",
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "9090/tcp": {}}, Volumes: map[string]struct{}{"/var/lib/weir": {}},
		Labels: map[string]string{"org.opencontainers.image.title": "weir", "org.opencontainers.image.version": r.version, "org.opencontainers.image.revision": r.revision, "org.opencontainers.image.licenses": "MIT"},
	}
	return mutate.ConfigFile(img, cfg)
}

// layer is the files of an image, as a tar archive.
func (r *release) layer(b built) ([]byte, error) {
	var authorities []byte
	for _, path := range certificates {
		if found, err := os.ReadFile(path); err == nil { //nolint:gosec // of this machine
			authorities = found
			break
		}
	}
	if authorities == nil {
		return nil, errors.New("this machine has no certificates of authorities: install ca-certificates")
	}
	var out bytes.Buffer
	t := tar.NewWriter(&out)
	for _, dir := range []struct {
		name string
		uid  int
	}{{"etc/", 0}, {"etc/ssl/", 0}, {"etc/ssl/certs/", 0}, {"var/", 0}, {"var/lib/", 0}, {"var/lib/weir/", nobody}} {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir.name, Mode: 0o755, Uid: dir.uid, Gid: dir.uid, ModTime: r.at, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
	}
	err := firstError(r.add(t, "etc/ssl/certs/ca-certificates.crt", authorities, 0o644), r.add(t, "weir", b.contents, 0o755), t.Close())
	return out.Bytes(), err
}
