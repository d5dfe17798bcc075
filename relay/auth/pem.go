package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// parsePEM reads the one public key that a PEM file holds, bare (PKIX) or in a certificate. The dates
// and the issuer of a certificate are not looked at: the operator put it there, it is only a container.
func parsePEM(data []byte) (any, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("the file is not PEM: expected BEGIN PUBLIC KEY or BEGIN CERTIFICATE")
	}
	if bytes.Contains(rest, []byte(pemBoundary)) {
		return nil, errors.New("the file holds more than one PEM block")
	}
	switch {
	case block.Type == "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the PEM block is not a supported PKIX public key")
		}
		return public, nil
	case block.Type == "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("the PEM block is not an X.509 certificate")
		}
		return cert.PublicKey, nil
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, errors.New("the file holds a private key: weir needs the public one only")
	}
	return nil, fmt.Errorf("the PEM block is %.32q: expected PUBLIC KEY or CERTIFICATE", block.Type)
}
