//go:build demo

package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/bqgate/bqgate/e2e/fakegoogle/oidcissuer"
)

// info is demo.json.
type info struct {
	REST           string                 `json:"rest"`
	RESTTLS        string                 `json:"rest_tls"`
	CAFile         string                 `json:"ca_file"`
	GRPC           string                 `json:"grpc"`
	GRPCTLS        string                 `json:"grpc_tls"`
	Console        string                 `json:"console"`
	Ops            string                 `json:"ops"` // /livez, /readyz and /metrics of `bqgate serve`
	TokenURL       string                 `json:"token_url"`
	TokenURLTLS    string                 `json:"token_url_tls"`
	Issuer         string                 `json:"issuer"`
	Project        string                 `json:"project"`
	AuditDir       string                 `json:"audit_dir"`
	AuditPublicKey string                 `json:"audit_public_key"` // empty until the journal is signed
	AuditKeyFile   string                 `json:"audit_key_file"`
	Canaries       []canary               `json:"canaries"`
	PIDs           map[string]int         `json:"pids"`
	Personas       map[string]personaInfo `json:"personas"`
	Fake           string                 `json:"fake"`    // control endpoint of the stand-ins for Google
	Sockets        string                 `json:"sockets"` // folder of the inner sockets
}

type canary struct {
	Value  string `json:"value"`
	Column string `json:"column"`
}

type personaInfo struct {
	Subject          string   `json:"subject"`
	Groups           []string `json:"groups"`
	TokenFile        string   `json:"token_file"`
	ConsoleTokenFile string   `json:"console_token_file"`
	ADCFile          string   `json:"adc_file"`
}

// persona is somebody who can use the demo.
type persona struct {
	name, subject string
	groups        []string
	about         string
}

var people = []persona{
	{"agent", "agent@demo.example", []string{"ai-agents"}, "asks; its own requests wait for others"},
	{"analyst", "analyst@demo.example", []string{"analysts"}, "may read, decides on nothing"},
	{"reviewer", "reviewer@demo.example", []string{"data-owners"}, "a data owner: approves and denies"},
	{"lead", "lead@demo.example", []string{"data-owners"}, "a data owner, too: the second one"},
	{"stranger", "stranger@demo.example", []string{}, "is in no policy"},
}

const (
	tokenLife    = 55 * time.Minute
	tokenRefresh = 10 * time.Minute
)

func (d *demo) mint(p persona, audience string) oidcissuer.Mint {
	ttl := int64(tokenLife / time.Second)
	claims := map[string]any{}
	if strings.Contains(p.subject, "@") {
		claims["email"] = p.subject
	}
	return oidcissuer.Mint{Subject: p.subject, Groups: p.groups, Claims: claims, Audience: oidcissuer.Audience{audience}, TTLSeconds: &ttl}
}

// personas writes everybody's tokens and credentials files, and keeps the tokens fresh.
func (d *demo) personas(ctx context.Context, group *sync.WaitGroup) error {
	if err := os.MkdirAll(d.path("tokens"), 0o700); err != nil {
		return fmt.Errorf("make token folder: %w", err)
	}
	d.info.Personas = map[string]personaInfo{}
	for _, p := range people {
		i := personaInfo{
			Subject: p.subject, Groups: p.groups, TokenFile: d.path("tokens/" + p.name + ".jwt"),
			ConsoleTokenFile: d.path("tokens/" + p.name + ".console.jwt"), ADCFile: d.path(p.name + ".json"),
		}
		d.info.Personas[p.name] = i
		adc := fmt.Sprintf(`{
  "type": "external_account",
  "audience": "bqgate",
  "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
  "token_url": %q,
  "credential_source": {"file": %q}
}
`, d.info.TokenURL, i.TokenFile)
		if err := os.WriteFile(i.ADCFile, []byte(adc), 0o600); err != nil {
			return fmt.Errorf("write credentials file of %s: %w", p.name, err)
		}
	}
	if err := d.refresh(); err != nil {
		return err
	}
	group.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(tokenRefresh):
				if err := d.refresh(); err != nil {
					d.log.Error("tokens not refreshed", "error", err)
				}
			}
		}
	})
	return nil
}

func (d *demo) refresh() error {
	for _, p := range people {
		for audience, file := range map[string]string{"bqgate": d.info.Personas[p.name].TokenFile,
			"bqgate-console": d.info.Personas[p.name].ConsoleTokenFile} {
			token, err := d.issuer.Token(d.mint(p, audience))
			if err != nil {
				return fmt.Errorf("mint token of %s: %w", p.name, err)
			}
			if err := writeAtomic(file, []byte(token), 0o600); err != nil {
				return fmt.Errorf("write token of %s: %w", p.name, err)
			}
		}
	}
	return d.gatewayToken()
}

// gatewayToken is the OIDC token of the gateway itself, as the platform it runs on would give it
// one: what it shows to Google's STS.
func (d *demo) gatewayToken() error {
	ttl := int64(tokenLife / time.Second)
	token, err := d.issuer.Token(oidcissuer.Mint{Subject: gatewaySubject, Audience: oidcissuer.Audience{providerAudience},
		TTLSeconds: &ttl})
	if err != nil {
		return fmt.Errorf("mint the gateway's token: %w", err)
	}
	return writeAtomic(d.path("gateway.jwt"), []byte(token), 0o600)
}

func writeAtomic(path string, text []byte, mode os.FileMode) error {
	if err := os.WriteFile(path+".new", text, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// publish writes demo.json: everything is ready.
func (d *demo) publish(ctx context.Context) error {
	found, err := d.canaries(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.info.Canaries, d.info.Project = found, d.Project
	d.mu.Unlock()
	d.rewrite()
	return nil
}

// watchPIDs keeps demo.json's process ids right, the engine's too, which the stand-ins restart by
// themselves.
func (d *demo) watchPIDs(ctx context.Context) {
	go func() {
		last := d.google.EnginePID()
		for ctx.Err() == nil {
			time.Sleep(200 * time.Millisecond)
			if now := d.google.EnginePID(); now != last && now != 0 {
				last = now
				d.rewrite()
			}
		}
	}()
}

// loginPeople are the personas at the issuer's login page, the reviewers first.
func (d *demo) loginPeople() []oidcissuer.Person {
	var all []oidcissuer.Person
	for _, name := range []string{"reviewer", "lead", "analyst", "agent", "stranger"} {
		for _, p := range people {
			if p.name == name {
				all = append(all, oidcissuer.Person{Name: p.name, About: p.about, Token: d.mint(p, consoleClient)})
			}
		}
	}
	return all
}
