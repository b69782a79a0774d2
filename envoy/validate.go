package envoy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Validate says everything that is wrong with c. Bootstrap and Render call it.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	add := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("envoy.%s: %w", what, err))
		}
	}
	if len(c.REST) == 0 {
		add("rest", errors.New("no listener; want at least one address"))
	}
	for _, group := range []struct {
		name string
		list []Listener
	}{{"rest", c.REST}, {"grpc", c.GRPC}, {"token", c.Token}} {
		for i, l := range group.list {
			add(fmt.Sprintf("%s[%d]", group.name, i), l.validate())
		}
	}
	for i, d := range c.Domains {
		add(fmt.Sprintf("domains[%d]", i), text(d))
	}
	add("ext_authz", c.ExtAuthz.validate())
	add("ext_proc", c.ExtProc.validate())
	if len(c.Token) > 0 {
		add("token_endpoint", c.TokenEndpoint.validate())
	}
	add("bigquery", c.BigQuery.validate())
	if len(c.GRPC) > 0 {
		add("storage_read", c.StorageRead.validate())
	}
	if c.Admin != "" {
		add("admin", socket(c.Admin))
	}
	if c.AccessLog != "" {
		add("access_log", file(c.AccessLog))
	}
	add("limits", c.Limits.validate())
	add("timeouts", c.Timeouts.validate())
	return errors.Join(errs...)
}

func (l Listener) validate() error {
	addr, err := netip.ParseAddrPort(l.Address)
	if err != nil {
		return fmt.Errorf("address %q is not IP:PORT", l.Address)
	}
	if addr.Port() == 0 {
		return fmt.Errorf("address %q has port 0; want the port that clients will use", l.Address)
	}
	if l.TLS == nil {
		if !addr.Addr().IsLoopback() {
			return fmt.Errorf("address %s is plain text and not loopback, bearer tokens would be readable on the way; give it tls",
				l.Address)
		}
		return nil
	}
	return errors.Join(named("tls.cert_file", file(l.TLS.CertFile)), named("tls.key_file", file(l.TLS.KeyFile)))
}

func (s Service) validate() error {
	switch {
	case s.Socket != "" && s.Address != "":
		return errors.New("both socket and address are given; want one")
	case s.Socket != "":
		if s.TLS != nil {
			return errors.New("tls is for address; a socket needs none")
		}
		return named("socket", socket(s.Socket))
	case s.Address != "":
		if s.TLS == nil {
			return fmt.Errorf("address %s without tls: the link to Envoy carries Google tokens and is either a Unix socket or mutual TLS",
				s.Address)
		}
		return errors.Join(
			named("address", hostPort(s.Address)),
			named("tls.cert_file", file(s.TLS.CertFile)),
			named("tls.key_file", file(s.TLS.KeyFile)),
			named("tls.ca_file", file(s.TLS.CAFile)),
			named("tls.san", dnsName(s.TLS.SAN)),
		)
	default:
		return errors.New("neither socket nor address is given")
	}
}

func (u Upstream) validate() error {
	return errors.Join(
		named("address", hostPort(u.Address)),
		named("host", dnsName(u.Host)),
		named("ca_file", file(u.CAFile)),
	)
}

func (l Limits) validate() error {
	// Twice the limit is buffered while ext_proc rewrites a body, and gRPC messages carry it whole.
	if l.MaxRequestBytes > 10<<20 {
		return fmt.Errorf("max_request_bytes %d is more than the 10 MiB that BigQuery takes", l.MaxRequestBytes)
	}
	return nil
}

func (t Timeouts) validate() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
		max   time.Duration
	}{
		{"check", t.Check, 10 * time.Minute},
		{"process", t.Process, time.Minute},
		{"idle", t.Idle, time.Hour},
		{"request", t.Request, 10 * time.Minute},
	} {
		if d.value < 0 || d.value > d.max {
			errs = append(errs, fmt.Errorf("%s is %s; want more than 0 and at most %s", d.name, d.value, d.max))
		}
	}
	if t.Idle < t.Check {
		errs = append(errs, fmt.Errorf("idle %s is shorter than check %s, which would cut long-polls", t.Idle, t.Check))
	}
	return errors.Join(errs...)
}

func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// text refuses what cannot stand in a configuration string: protos want UTF-8, and '%' begins a
// substitution in some of Envoy's fields.
func text(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return fmt.Errorf("%q holds spaces or unprintable characters", s)
	}
	return nil
}

func file(path string) error {
	if path == "" {
		return errors.New("is empty; want a path")
	}
	if !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) {
		return fmt.Errorf("%q holds unprintable characters", path)
	}
	return nil
}

// socket wants an absolute path that the kernel takes (sockaddr_un holds 108 bytes with the final
// NUL) and no abstract name, which has no owner or mode.
func socket(path string) error {
	if err := file(path); err != nil {
		return err
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	if len(path) > 107 {
		return fmt.Errorf("%q is longer than the 107 bytes a Unix socket may have", path)
	}
	return nil
}

func dnsName(name string) error {
	if err := text(name); err != nil {
		return err
	}
	if len(name) > 253 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%q is not a DNS name in lower case", name)
	}
	return nil
}

func hostPort(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q has no port between 1 and 65535", address)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return dnsName(host)
}
