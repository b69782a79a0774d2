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

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/credentials"
)

// dialUpstream is the gateway's own client of BigQuery. It carries the inspection identity, whose token never passes Envoy and which reads no rows.
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
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if c.Address != "" {
				address = c.Address
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
	return bigquery.NewClient(bigquery.ClientOptions{
		BaseURL: c.URL, HTTPClient: &http.Client{Transport: transport},
		Token: func(ctx context.Context) (string, error) {
			t, err := broker.Inspection(ctx)
			if err != nil {
				return "", err
			}
			return t.Bearer(), nil
		},
	})
}

// approvalJournal writes what approvals do into the audit journal.
type approvalJournal struct{ journal *audit.Journal }

// ApprovalEvent returns when the event is durable.
func (a approvalJournal) ApprovalEvent(ctx context.Context, e approvals.Event) error {
	_, err := a.journal.Append(ctx, audit.Approval{
		Time: e.At, RequestID: e.Request, Verdict: string(e.Kind), Phase: string(e.Phase), By: e.By, Reason: e.Reason, Nonce: e.Nonce, Previous: e.Previous,
		State: string(e.State), Version: e.Version, Owner: e.Owner, Digest: e.Digest, Decision: e.Decision, Epoch: e.Epoch, Grant: e.Grant, Until: e.Until, Job: audit.Job{ProjectID: e.Job.ProjectID, JobID: e.Job.JobID, Location: e.Job.Location},
	})
	return err
}
