package safedial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
)

// Problem returns in a few fixed words why an exchange had no answer. It shows neither the address, which may hold
// secrets, nor anything that the other side has sent.
func Problem(err error) string {
	var name *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "the relay is shutting down"
	case errors.Is(err, ErrAddress):
		return "the address is not a public one"
	case errors.Is(err, ErrScheme):
		return "the address is not https"
	case errors.Is(err, ErrRedirect):
		return "it returned a redirect"
	case errors.As(err, &name) && name.IsNotFound:
		return "name not found"
	case errors.As(err, &name):
		return "the name could not be looked up"
	case errors.As(err, &unknown):
		return "its certificate is not trusted"
	case errors.As(err, &host):
		return "its certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired, or is not valid yet"
	case errors.As(err, &certificate):
		return "its certificate is not valid"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS"
	case errors.As(err, &alert):
		return "TLS was refused"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to the address"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no response in time"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke off"
	}
	return "no connection"
}
