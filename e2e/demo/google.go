//go:build demo

package demo

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/bqgate/bqgate/e2e/fakegoogle"
	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
	"github.com/bqgate/bqgate/e2e/fakegoogle/outage"
	"github.com/bqgate/bqgate/policies/examples"
)

const (
	gatewaySubject = "bqgate-gateway"
	readerAccount  = "crm-reader@demo.iam.gserviceaccount.com"
	inspectAccount = "bqgate-inspection@demo.iam.gserviceaccount.com"
)

// startGoogle starts the issuer, the SQL engine and the stand-ins for Google.
func (d *demo) startGoogle(ctx context.Context) error {
	var err error
	if d.ca, err = newAuthority(filepath.Join(d.Dir, "tls")); err != nil {
		return err
	}
	if d.issuer, err = oidcissuer.Start(net.JoinHostPort("127.0.0.1", "0")); err != nil {
		return fmt.Errorf("start OIDC issuer: %w", err)
	}
	if d.engine, err = d.startEngine(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(d.path("google"), 0o700); err != nil {
		return fmt.Errorf("make certificate folder: %w", err)
	}
	seeds, err := d.seeds()
	if err != nil {
		return err
	}
	requesters, err := d.requesters(ctx)
	if err != nil {
		return err
	}
	d.google, err = fakegoogle.Start(ctx, fakegoogle.Options{
		Project: d.Project, Dir: filepath.Join(d.Dir, "google"), Engine: d.engine, Seeds: seeds, Issuers: []string{d.issuer.URL()},
		Impersonators: []string{gatewaySubject}, Condition: `assertion.sub == "` + gatewaySubject + `"`,
		Providers:  []fakegoogle.PoolProvider{requesters},
		Principals: map[string]fakegoogle.Permissions{everyRequester: {ReadRows: true, CreateJobs: true}},
		ServiceAccounts: map[string]fakegoogle.Permissions{
			readerAccount:  {ReadRows: true, CreateJobs: true, Metadata: true},
			inspectAccount: {Metadata: true, DryRun: true, RowAccess: true},
		},
		Outages: map[string]*outage.Switch{"issuer": d.issuer.Outage()},
		Log:     d.log.With("part", "google"),
	})
	if err != nil {
		return fmt.Errorf("start the stand-ins for Google: %w", err)
	}
	return nil
}

// sibling is a binary that was built beside this one.
func sibling(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own binary: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not there; `make demo` builds it: %w", name, err)
	}
	return path, nil
}

func (d *demo) seeds() ([]string, error) {
	if len(d.Seeds) == 0 {
		return fakegoogle.DefaultSeeds(), nil
	}
	var out []string
	for _, path := range d.Seeds {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read seed: %w", err)
		}
		out = append(out, string(text))
	}
	return out, nil
}

// policyFiles are the given policies, or the default one, written where people can read it.
func (d *demo) policyFiles() ([]string, error) {
	if len(d.Policies) == 0 {
		path := filepath.Join(d.Dir, "demo.yaml") // the name is part of what every refusal says: demo/agents-read
		return []string{path}, os.WriteFile(path, []byte(examples.Demo), 0o644)
	}
	var out []string
	for _, p := range d.Policies {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", p, err)
		}
		out = append(out, abs)
	}
	return out, nil
}
