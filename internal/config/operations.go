package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/bqgate/bqgate/envoy"
)

// Operations is where /livez, /readyz and /metrics are. The same answers are on the Unix socket
// operations.sock of sockets.dir, whether this is set or not.
type Operations struct {
	Address string         `yaml:"address,omitempty"` // host:port; none without it. Never behind the agents' listener
	TLS     *OperationsTLS `yaml:"tls,omitempty"`     // needed where the address is not on loopback
	// Plain says that the address is not on loopback and has no TLS, and that something else keeps
	// strangers from it: "accepted".
	Plain string `yaml:"plain,omitempty"`
}

// OperationsTLS is mutual: whoever has no certificate of the client CA is not answered.
type OperationsTLS struct {
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
	ClientCAFile string `yaml:"client_ca_file"`
}

// PlainAccepted is the one value of operations.plain.
const PlainAccepted = "accepted"

// Where the console runs.
const (
	ProcessServe    = "serve"    // within `bqgate serve`
	ProcessSeparate = "separate" // as `bqgate console`, so that whatever happens to it harms no query
)

// Defaults of the console's connections.
const (
	consoleConnections = 1000
	consolePerAddress  = 500
)

func (c *Config) checkOperations() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	o, k := c.Operations, c.Console
	if o.Address == "" {
		if o.TLS != nil || o.Plain != "" {
			add("operations.address is missing: host:port of /readyz and /metrics")
		}
	} else if host, port, err := net.SplitHostPort(o.Address); err != nil {
		add("operations.address is %q, want host:port: %w", o.Address, err)
	} else {
		switch {
		case o.Plain != "" && o.Plain != PlainAccepted:
			add("operations.plain is %q; the one value is %s", o.Plain, PlainAccepted)
		case o.TLS != nil && o.Plain != "":
			add("operations.tls and operations.plain exclude each other")
		case o.TLS == nil && o.Plain == "" && !loopback(host):
			add("operations.address %s is not on loopback: set operations.tls, or operations.plain: %s where something else keeps "+
				"strangers from it", o.Address, PlainAccepted)
		}
		for what, other := range c.agentsAddresses() {
			if sameAddress(host, port, other) {
				add("operations.address %s is that of %s; it needs one of its own", o.Address, what)
			}
		}
	}
	if t := o.TLS; t != nil && (t.CertFile == "" || t.KeyFile == "" || t.ClientCAFile == "") {
		add("operations.tls needs cert_file, key_file and client_ca_file: without the last anybody would be answered")
	}
	if k.Process != ProcessServe && k.Process != ProcessSeparate {
		add("console.process is %q, want %s or %s", k.Process, ProcessServe, ProcessSeparate)
	}
	if k.MaxConnections < 1 || k.MaxConnections > 100_000 || k.MaxPerAddress < 1 || k.MaxPerAddress > k.MaxConnections {
		add("console: max_connections is %d (1 to 100000) and max_connections_per_address %d (1 to max_connections)", k.MaxConnections,
			k.MaxPerAddress)
	}
	return errs
}

// agentsAddresses are the addresses that others are reached at, by what they are.
func (c *Config) agentsAddresses() map[string]string {
	all := map[string]string{"console.address": c.Console.Address}
	for what, listeners := range map[string][]envoy.Listener{
		"envoy.rest": c.Envoy.REST, "envoy.grpc": c.Envoy.GRPC, "envoy.token": c.Envoy.Token,
	} {
		for i, l := range listeners {
			all[fmt.Sprintf("%s[%d]", what, i)] = l.Address
		}
	}
	return all
}

// sameAddress says whether two listeners would meet: the same port, and one of them on all
// addresses or both on the same.
func sameAddress(host, port, other string) bool {
	h, p, err := net.SplitHostPort(other)
	if err != nil || p != port || port == "0" {
		return false
	}
	return h == host || everywhere(h) || everywhere(host)
}

func everywhere(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "" || err == nil && a.IsUnspecified()
}

// reloadable are the keys that a running gateway takes over when its configuration is loaded again.
// Of policies the files are read again, whether the list has changed or not.
var reloadable = []func(*Config){
	func(c *Config) { c.Policies = nil },
	func(c *Config) { c.Limits, c.Budgets = (&Config{}).Limits, nil },
	func(c *Config) { c.Notifications = (&Config{}).Notifications },
	func(c *Config) { c.Approvals.PricePerTiB, c.Approvals.PriceByLocation = 0, nil },
	func(c *Config) { c.Envoy = (&Config{}).Envoy }, // the gateway itself does not use it: `bqgate envoy render` does
	func(c *Config) { c.Path = "" },
}

// Reloadable says whether a running gateway can take over next in the place of c: nothing has
// changed but policies, budgets, limits, notifications and the prices of approvals.
func (c *Config) Reloadable(next *Config) error {
	old, now := *c, *next
	for _, without := range reloadable {
		without(&old)
		without(&now)
	}
	var keys []string
	a, b := reflect.ValueOf(old), reflect.ValueOf(now)
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			key, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("yaml"), ",")
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	return errors.New("changed in " + strings.Join(keys, ", ") + ", which a running gateway does not take over: restart it. " +
		"What can be loaded again is policies, budgets, limits, notifications and the prices of approvals")
}
