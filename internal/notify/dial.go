package notify

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

var (
	errPrivate = errors.New("the target's address is not a public one; notifications.allow would have to name its network")
	errPlain   = errors.New("plain http goes to networks under notifications.allow only; use https")
	errMoved   = errors.New("the target answered with a redirect, which is not followed")
)

// special are networks beside those that netip knows by name, in which nobody on the Internet is:
// shared, protocol, test and reserved ones, and those that lead to IPv4 addresses by a detour.
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10",
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func contains(all []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
}

// mayDial says whether a target may have this address.
func mayDial(a netip.Addr, allow []netip.Prefix, plain bool) error {
	a = a.Unmap().WithZone("")
	switch {
	case contains(allow, a):
		return nil
	// Loopback, link-local, multicast and unspecified addresses are no global unicast ones.
	case !a.IsGlobalUnicast() || a.IsPrivate() || contains(special, a):
		return errPrivate
	case plain:
		return errPlain
	default:
		return nil
	}
}

// client refuses addresses after DNS has named them, at the connection itself, so that no name can
// lead elsewhere the second time. It follows no redirect and asks no proxy.
func client(allow func() []netip.Prefix, plain bool) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return errPrivate
		}
		return mayDial(at.Addr(), allow(), plain)
	}}
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, address)
			},
			TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 10 * time.Second, MaxIdleConnsPerHost: 2,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errMoved },
	}
}
