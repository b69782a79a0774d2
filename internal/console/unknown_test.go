package console

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/identity"
)

// A61: whom nobody knows decides on nothing, and is told why and what helps. They see what their
// groups let them see.
func TestUnknownPeopleDecideOnNothing(t *testing.T) {
	t.Run("endpoint", func(t *testing.T) {
		b := newBench(t)
		r := b.hold("run1")
		for _, verb := range []string{"approve", "deny"} {
			a := b.call("ghost", "POST", "/api/v1/requests/"+r.ID+"/"+verb, `{"reason":"x"}`)
			text, _ := a.body["error"].(map[string]any)["message"].(string)
			if a.status != 403 || !strings.Contains(text, "names no person whom others know") || !strings.Contains(text, "people_map") {
				t.Errorf("%s: %d %v", verb, a.status, a.body)
			}
		}
		if a := b.call("ghost", "GET", "/api/v1/requests/"+r.ID, ""); a.status != 200 || a.body["state"] != "pending" ||
			len(a.body["decisions"].([]any)) != 0 {
			t.Errorf("the request is %d %v", a.status, a.body)
		}
	})
	t.Run("pages", func(t *testing.T) {
		b := newWeb(t)
		r := b.hold("")
		for _, name := range []string{"ghost", "claimed"} {
			v := b.as(name)
			page := v.get("/requests/" + r.ID)
			if page.status != 200 || !strings.Contains(page.text, "names no person whom others know") ||
				strings.Contains(page.text, `action="/requests/`+r.ID+`/approve"`) {
				t.Errorf("%s sees %d, buttons: %t", name, page.status, strings.Contains(page.text, "/approve"))
			}
			for _, verb := range []string{"approve", "deny"} {
				if a := v.post("/requests/"+r.ID+"/"+verb, url.Values{"reason": {"x"}}); a.status != 403 ||
					!strings.Contains(a.text, "people_map") {
					t.Errorf("%s: %s is %d", name, verb, a.status)
				}
			}
			// Nor does anybody pass for another by a name of their own choice.
			for _, chosen := range []string{"erin@acme.example", "aaron@acme.example"} {
				if strings.Contains(page.text, chosen) {
					t.Errorf("%s is shown as %s", name, chosen)
				}
			}
		}
		if q, err := b.store.Get(context.Background(), r.ID); err != nil || len(q.Votes) != 0 {
			t.Errorf("decisions %v, %v", q.Votes, err)
		}
		if a := b.as("dana").post("/requests/"+r.ID+"/approve", url.Values{"reason": {"x"}}); a.status != 303 {
			t.Errorf("somebody whom others know: %d", a.status)
		}
	})
	t.Run("their own requests", func(t *testing.T) {
		b := newWeb(t)
		r := b.hold("", func(h *approvals.Held) {
			h.Subject = identity.Subject{Issuer: b.issuer.URL(), Sub: "8f3c", Owner: "o", Grant: "g",
				People: []string{"8f3c", "boss@acme.example"}, Groups: []string{"analysts"}}
		})
		if r.Quorum != 2 {
			t.Errorf("quorum %d", r.Quorum)
		}
		page := b.as("dana").get("/requests/" + r.ID)
		if !strings.Contains(page.text, "It is not known who this is") || r.Person != "8f3c" {
			t.Errorf("shown as %q; the page does not say that nobody knows them", r.Person)
		}
		for i, name := range []string{"dana", "erin"} {
			if a := b.as(name).post("/requests/"+r.ID+"/approve", url.Values{"reason": {"x"}}); a.status != 303 {
				t.Errorf("%s: %d", name, a.status)
			}
			if q, _ := b.store.Get(context.Background(), r.ID); (q.State == approvals.StateApproved) != (i == 1) {
				t.Errorf("after %d approvals it is %s", i+1, q.State)
			}
		}
	})
}
