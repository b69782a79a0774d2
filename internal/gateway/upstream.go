package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/cache"
	"github.com/bqgate/bqgate/internal/cause"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/credentials"
	"github.com/bqgate/bqgate/internal/durable"
)

// upstreamStreamWindow is how much of an answer may be on its way unread, in bytes.
const upstreamStreamWindow = 1 << 20

// dialUpstream is the gateway's own client of BigQuery. It carries the inspection identity, whose
// token never passes Envoy and which reads no rows. Google knows it as account.
func dialUpstream(c config.Upstream, broker *credentials.Broker, account string, log *slog.Logger) (*bigquery.Client, error) {
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
		BaseURL: c.URL, HTTPClient: &http.Client{Transport: transport}, Account: account, Denied: denials(log),
		Token: func(ctx context.Context, w durable.Facts) (string, error) {
			t, err := broker.Inspection(ctx, w)
			if err != nil {
				return "", err
			}
			return t.Bearer(), nil
		},
	})
}

// denials tells the log of tables that the inspection account may not see, once in ten minutes
// each: clients are told that there are none.
func denials(log *slog.Logger) func(because string, err error) {
	const every, remembered = 10 * time.Minute, 1000
	told := cache.New[string, struct{}](remembered)
	return func(because string, err error) {
		words, now := cause.Words(err), time.Now()
		if _, before := told.Get(words, now); before || log == nil {
			return
		}
		told.Put(words, struct{}{}, now.Add(every))
		log.Warn("a table is hidden from the gateway, and so from everybody", "cause", words, "decision", because, "error", err)
	}
}
