package console

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/policies"
)

func (u *ui) history(w http.ResponseWriter, r *http.Request, v *visitor) {
	f, err := pageParameters(r)
	if err != nil {
		u.problem(w, r, v, http.StatusBadRequest, "This list is not known", sentence(err))
		return
	}
	f.For = &v.decider
	found, err := u.Approvals.List(r.Context(), f)
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	var items []item
	for _, q := range found.Requests {
		items = append(items, u.itemOf(q, v))
	}
	older := ""
	if found.More {
		older = "/history?" + pageQuery(f, found.Next)
	}
	u.show(w, r, http.StatusOK, historyPage(shell{Title: "History", Visitor: v, Here: "/history"}, f.State, items, older))
}

// grants are approvals: first those that may still be used.
func (u *ui) grants(w http.ResponseWriter, r *http.Request, v *visitor) {
	found, err := u.Approvals.List(r.Context(), approvals.Filter{For: &v.decider, Limit: 200, Match: func(q approvals.Request) bool {
		_, ok := q.Grant()
		return ok
	}})
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	var live, over []grantView
	for _, q := range found.Requests {
		g, _ := q.Grant()
		view := grantView{Grant: g, Who: q.Person, Reads: tablesOf(q), Now: u.now()}
		if g.State == approvals.GrantLive {
			live = append(live, view)
		} else {
			over = append(over, view)
		}
	}
	u.show(w, r, http.StatusOK, grantsPage(shell{Title: "Grants", Visitor: v, Here: "/grants"}, live, over, found.More))
}

// messages are what could not be told yet, and what was given up: the requests still wait, but
// somebody may not know.
func (u *ui) messages(w http.ResponseWriter, r *http.Request, v *visitor) {
	found, err := u.Approvals.Notifications(r.Context(), "", func(q approvals.Request) bool { return q.VisibleTo(v.decider) })
	if err != nil {
		u.broken(w, r, v, err)
		return
	}
	var dead, waiting []approvals.Notification
	for _, n := range found {
		if n.State == approvals.NotificationDead {
			dead = append(dead, n)
		} else {
			waiting = append(waiting, n)
		}
	}
	u.show(w, r, http.StatusOK, messagesPage(shell{Title: "Messages", Visitor: v, Here: "/messages"}, dead, waiting, u.now()))
}

// undelivered counts the messages that were given up, for the first page.
func (u *ui) undelivered(ctx context.Context, v *visitor) (int, error) {
	found, err := u.Approvals.Notifications(ctx, approvals.NotificationDead, func(q approvals.Request) bool {
		return q.VisibleTo(v.decider)
	})
	return len(found), err
}

// grantView is an approval in the list of grants.
type grantView struct {
	approvals.Grant
	Who, Reads string
	Now        time.Time
}

// countGrants says how much is open.
func countGrants(live []grantView) string {
	runs := 0
	for _, g := range live {
		runs += g.Uses - g.Used
	}
	switch len(live) {
	case 0:
		return "No grant may still be used."
	case 1:
		return "1 grant may still be used, for " + plural(runs, "run") + " in all."
	default:
		return fmt.Sprintf("%d grants may still be used, for %s in all.", len(live), plural(runs, "run"))
	}
}

// policies are shown to those who decide by them; what is sensitive is nobody else's business.
func (u *ui) policies(w http.ResponseWriter, r *http.Request, v *visitor) {
	if !v.reviews {
		u.problem(w, r, v, http.StatusForbidden, "The policy is for reviewers", "You are in no group that reviews requests.")
		return
	}
	set := u.Policies()
	u.show(w, r, http.StatusOK, policiesPage(shell{Title: "Policies", Visitor: v, Here: "/policies"}, policyFiles(set.Entries()),
		set.Digest()))
}

// policyFile is the entries of one file, as the policies page shows them.
type policyFile struct {
	Name    string
	Entries []policies.Entry
}

func policyFiles(entries []policies.Entry) []policyFile {
	var files []policyFile
	for _, e := range entries {
		if len(files) == 0 || files[len(files)-1].Name != e.Ref.File {
			files = append(files, policyFile{Name: e.Ref.File})
		}
		last := &files[len(files)-1]
		last.Entries = append(last.Entries, e)
	}
	return files
}

// policySection is a run of entries of one kind.
type policySection struct {
	Name    string
	Entries []policies.Entry
}

// Sections are the entries by kind, in the order of the file.
func (f policyFile) Sections() []policySection {
	var all []policySection
	for _, e := range f.Entries {
		if len(all) == 0 || all[len(all)-1].Name != e.Section {
			all = append(all, policySection{Name: e.Section})
		}
		last := &all[len(all)-1]
		last.Entries = append(last.Entries, e)
	}
	return all
}
