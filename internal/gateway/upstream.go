package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
)

// upstreamStreamWindow is how much of an answer may be on its way unread, in bytes.
const upstreamStreamWindow = 1 << 20

// dialUpstream is the gateway's own client of BigQuery. It carries the inspection identity, whose
// token never passes Envoy and which reads no rows.
func dialUpstream(c config.Upstream, broker *credentials.Broker) (*bigquery.Client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("upstream.ca_file: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("upstream.ca_file %s holds no certificate", c.CAFile)
		}
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 60 * time.Second,
		// Of the gigabyte that Go allows a connection, streams that stand still hold a part (A37).
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: upstreamStreamWindow},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if c.Address != "" {
				address = c.Address
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
	return bigquery.NewClient(bigquery.ClientOptions{
		BaseURL: c.URL, HTTPClient: &http.Client{Transport: transport},
		Token: func(ctx context.Context, w durable.Facts) (string, error) {
			t, err := broker.Inspection(ctx, w)
			if err != nil {
				return "", err
			}
			return t.Bearer(), nil
		},
	})
}
