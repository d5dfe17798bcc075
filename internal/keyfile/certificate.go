package keyfile

import "crypto/tls"

// mostPEM bounds the file of a certificate or its key, in bytes.
const mostPEM = 1 << 20

// Certificate is [tls.LoadX509KeyPair] for files that an editor may have put a byte order mark into.
func Certificate(cert, key string) (pair tls.Certificate, err error) {
	chain, _, err := Read(cert, mostPEM)
	if err != nil {
		return pair, err
	}
	private, _, err := Read(key, mostPEM)
	if err != nil {
		return pair, err
	}
	return tls.X509KeyPair(chain, private)
}
