package extauthz

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/limits"
)

// looking is the context of an early look, as Envoy's call has it.
func looking(ctx context.Context) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs("bqgate-look", "early"))
}

// A38: before its body comes, a request is refused as the whole check would, or goes on with
// nothing done: no record, no SQL, no token, no header, no metadata.
func TestTheEarlyLook(t *testing.T) {
	decision := regexp.MustCompile(`d-[0-9A-Z]{26}`)
	answer := func(out *authv3.CheckResponse) string {
		d := out.GetDeniedResponse()
		if d == nil {
			d = out.GetErrorResponse()
		}
		return fmt.Sprintf("%d %s", d.GetStatus().GetCode(), decision.ReplaceAllString(d.GetBody(), "d-"))
	}
	for name, tt := range map[string]struct {
		identity error
		headers  []string
		passes   bool
		order    []string
	}{
		"no credential": {order: []string{"record unauthenticated"}},
		"a credential that is none": {
			headers: []string{bearer}, identity: &identity.Error{Status: 403, Reason: "accessDenied", Message: "the token is none"},
			order: []string{"record unauthenticated"},
		},
		"nobody can say":                   {headers: []string{bearer}, identity: errors.New("no redis"), order: []string{"record fault"}},
		"a good one":                       {headers: []string{bearer}, passes: true},
		"a body that is as long as may be": {headers: []string{bearer, "content-length: 10485760"}, passes: true},
		"a body that says nothing":         {headers: []string{bearer, "transfer-encoding: chunked"}, passes: true},
		// What stands in a header of the client's says nothing about which look this is.
		"a header of the client's": {headers: []string{"bqgate-look: none"}, order: []string{"record unauthenticated"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParts(t)
			p.identity = tt.identity
			out := p.check(looking(t.Context()), "POST", queriesPath, "", tt.headers...)
			if tt.passes != (out.GetStatus().GetCode() == 0 && out.GetOkResponse() != nil) {
				t.Fatalf("passes %t: %v", !tt.passes, out)
			}
			if !slices.Equal(p.order, tt.order) {
				t.Errorf("did %q, want %q", p.order, tt.order)
			}
			if tt.passes {
				if !proto.Equal(out, goOn()) || proto.Size(out.GetOkResponse()) != 0 || out.GetDynamicMetadata() != nil {
					t.Errorf("it says more than to go on: %v", out)
				}
				return
			}
			if whole := p.check(t.Context(), "POST", queriesPath, plainQuery, tt.headers...); answer(out) != answer(whole) {
				t.Errorf("the look answers %s\nthe check     %s", answer(out), answer(whole))
			}
		})
	}
}

// A body that says that it is too large never comes: Envoy may leave one that came too fast until
// the request times out. Whose credential is not good is told that, and nothing else.
func TestTheEarlyLookAtATooLargeBody(t *testing.T) {
	for name, c := range map[string]struct {
		length string
		known  bool
		code   int32
	}{
		"a byte too long":         {"10485761", true, 413},
		"without end":             {"99999999999999999999999", true, 413},
		"in no number":            {"1e9", true, 413},
		"less than nothing":       {"-5", true, 413},
		"without a credential":    {"10485761", false, 401},
		"as long as may be":       {"10485760", true, 0},
		"no length, as of HTTP/2": {"", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParts(t)
			var headers []string
			if c.known {
				headers = append(headers, bearer)
			}
			if c.length != "" {
				headers = append(headers, "content-length: "+c.length)
			}
			out := p.check(looking(t.Context()), "POST", queriesPath, "", headers...)
			if code := int32(out.GetDeniedResponse().GetStatus().GetCode()); code != c.code {
				t.Errorf("%d %s", code, out.GetDeniedResponse().GetBody())
			}
		})
	}
}

// Without Envoy's own word a request is decided about, whatever its headers say.
func TestAClientCannotAskForALook(t *testing.T) {
	p := newParts(t)
	for name, ctx := range map[string]context.Context{
		"none":        t.Context(),
		"another":     metadata.NewIncomingContext(t.Context(), metadata.Pairs("bqgate-look", "late")),
		"two of them": metadata.NewIncomingContext(t.Context(), metadata.Pairs("bqgate-look", "early", "bqgate-look", "early")),
	} {
		t.Run(name, func(t *testing.T) {
			out := p.check(ctx, "POST", queriesPath, plainQuery, bearer, "bqgate-look: early")
			if out.GetOkResponse() == nil || out.GetDynamicMetadata() == nil || len(out.GetOkResponse().GetHeaders()) == 0 {
				t.Errorf("no decision: %v", out)
			}
		})
	}
}

// One owner's bodies on their way leave the others theirs, and count until the whole check.
func TestBodiesOnTheirWay(t *testing.T) {
	p := newParts(t)
	most := limits.Kinds[limits.Bodies].Default.AtOnce
	p.s.Limits = limits.New(nil)
	p.subject.Budget = "one"
	n := 0
	look := func(verb string, headers ...string) *authv3.CheckResponse {
		n++
		return p.check(looking(t.Context()), verb, queriesPath, "", append(headers, bearer, fmt.Sprintf("x-request-id: %d", n))...)
	}
	fill := func(room int, verb string, headers ...string) {
		t.Helper()
		for range room {
			if out := look(verb, headers...); out.GetOkResponse() == nil {
				t.Fatalf("%s %q: refused below the limit: %v", verb, headers, out)
			}
		}
		denied := look(verb, headers...).GetDeniedResponse()
		if denied.GetStatus().GetCode() != 403 || !strings.Contains(denied.GetBody(), "rateLimitExceeded") {
			t.Errorf("%s %q: beyond the limit: %v", verb, headers, denied)
		}
	}
	fill(most, "POST", "content-length: 1000000")
	p.check(t.Context(), "POST", queriesPath, plainQuery, bearer, "x-request-id: 1") // has arrived
	fill(1, "POST")
	for _, tt := range [][]string{{"POST", "content-length: 15999"}, {"GET"}, {"DELETE"}} {
		if out := look(tt[0], tt[1:]...); out.GetOkResponse() == nil {
			t.Errorf("%q counts as a large body: %v", tt, out)
		}
	}
	p.subject.Budget = "another"
	fill(most, "GET", "content-length: 16000")
}
