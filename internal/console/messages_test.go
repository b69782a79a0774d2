package console

import (
	"context"
	"strings"
	"testing"
	"time"
)

// A message that could not be delivered is seen by those who may see its request: on the first page
// as a number, and in words where that leads.
func TestMessages(t *testing.T) {
	b := newWeb(t)
	b.targets = []string{"slack <b>"}
	given, later := b.hold(""), b.hold("dana")
	ctx := context.Background()
	messages, err := b.store.TakeMessages(ctx, 10, time.Minute)
	if err != nil || len(messages) != 2 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	for _, m := range messages {
		if m.Request == given.ID {
			err = b.store.GiveUp(ctx, m, "the target answered 500 <i>")
		} else {
			err = b.store.Retry(ctx, m, time.Hour, "the target answered 503")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	erin := b.as("erin")
	if a := erin.get("/"); !strings.Contains(a.text, "1 message about these requests could not be delivered") {
		t.Errorf("the queue says nothing of it: %s", a.text)
	}
	a := erin.get("/messages")
	for _, want := range []string{"slack &lt;b&gt;", "/requests/" + given.ID, "500 &lt;i&gt;", "given up just now", "/requests/" + later.ID,
		"503", "next try at"} {
		t.Run(want, func(t *testing.T) {
			if !strings.Contains(a.text, want) {
				t.Errorf("the page lacks %s", want)
			}
		})
	}
	for _, private := range []string{"salary", "SELECT", "payroll"} {
		t.Run(private, func(t *testing.T) {
			if strings.Contains(a.text, private) {
				t.Errorf("the page shows %s", private)
			}
		})
	}
	// alan may see neither request.
	alan := b.as("alan")
	for _, page := range []string{"/", "/messages"} {
		if a := alan.get(page); a.status != 200 || strings.Contains(a.text, given.ID) ||
			strings.Contains(a.text, "could not be delivered") || strings.Contains(a.text, "slack") {
			t.Errorf("alan at %s: %d %s", page, a.status, a.text)
		}
	}
}
