package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/bqgate/bqgate/internal/identity"
)

// loginIssuer is the issuer that people log in at: the one that is named, or the only one that is
// not for workloads.
func (c *Config) loginIssuer() string {
	if c.Console.Issuer != "" || c.Console.ClientID == "" {
		return c.Console.Issuer
	}
	var people []string
	for _, i := range c.Identity.Issuers {
		if i.ForPeople() {
			people = append(people, i.Name)
		}
	}
	if len(people) != 1 {
		return ""
	}
	return people[0]
}

// checkLogin says what is wrong with the login of reviewers.
func (c *Config) checkLogin() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	k := c.Console
	if k.ClientID == "" {
		if k.Issuer != "" || k.ClientSecretFile != "" || len(k.Scopes) > 0 {
			add("console.client_id is missing: without it nobody can log in, and the other keys of the login mean nothing")
		}
		return errs
	}
	audiences := c.Identity.WithDefaults()
	at := slices.IndexFunc(c.Identity.Issuers, func(i identity.Issuer) bool { return i.Name == k.Issuer })
	switch {
	case k.Issuer == "":
		add("console.issuer is missing: name the issuer of identity.issuers at which people log in")
	case at < 0:
		add("console.issuer is %q, which identity.issuers does not name", k.Issuer)
	case !c.Identity.Issuers[at].ForPeople():
		add("console.issuer is %q, which is for workloads; reviewers are people", k.Issuer)
	}
	if k.ClientID == audiences.Audience {
		add("console.client_id is %q, the audience of agents' tokens; a reviewer's login would open the data path", k.ClientID)
	}
	if u, err := url.Parse(k.URL); err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		add("console.url is %q; want https://host without a path", k.URL)
	} else if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		add("console.url is %q; sessions need https (plain http only on loopback)", k.URL)
	}
	if len(k.Scopes) > 0 && !slices.Contains(k.Scopes, "openid") {
		add("console.scopes lacks openid, without which the issuer sends no ID token")
	}
	if k.Session < time.Minute || k.Session > 24*time.Hour {
		add("console.session is %s; it must be between 1m and 24h", k.Session)
	}
	return errs
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && net.IP(addr.AsSlice()).IsLoopback()
}
