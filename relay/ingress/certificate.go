package ingress

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"weir/internal/keyfile"
	"weir/relay/config"
)

// certificate is the relay's TLS certificate, read again when its files change.
type certificate struct {
	cert, key string
	log       *slog.Logger
	current   atomic.Pointer[tls.Certificate]
	stamp     atomic.Int64
}

func newCertificate(t config.TLS, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: t.Cert, key: t.Key, log: log}
	return c, c.load()
}

func (c *certificate) load() error {
	stamp := c.modified() // before they are read: what changes meanwhile is read again
	pair, err := keyfile.Certificate(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("load certificate %s: %w", c.cert, err)
	}
	c.stamp.Store(stamp)
	c.current.Store(&pair)
	return nil
}

// modified changes when either file does.
func (c *certificate) modified() int64 {
	var sum int64
	for _, name := range []string{c.cert, c.key} {
		if st, err := os.Stat(name); err == nil {
			sum += st.ModTime().UnixNano() + st.Size()
		}
	}
	return sum
}

// watch looks at the files every so often until ctx is done. A pair that does not load is logged and
// the old one stays.
func (c *certificate) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if c.modified() == c.stamp.Load() {
				continue
			}
			if err := c.load(); err != nil {
				c.log.Error("certificate not reloaded", slog.String("error", err.Error()))
				continue
			}
			c.log.Info("certificate reloaded")
		}
	}
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
