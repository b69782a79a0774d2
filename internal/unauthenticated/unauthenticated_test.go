package unauthenticated_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/audit/audittest"
	"github.com/bqgate/bqgate/internal/durable"
	"github.com/bqgate/bqgate/internal/unauthenticated"
)

func sums(j *audittest.Journal) (all []audit.Unauthenticated) {
	for _, r := range j.Records() {
		if sum, ok := r.(audit.Unauthenticated); ok {
			all = append(all, sum)
		}
	}
	return all
}

func refuse(t *testing.T, c *unauthenticated.Counter, cause, from string, n int) {
	t.Helper()
	for range n {
		w, err := c.Refuse(t.Context(), cause, netip.MustParseAddr(from))
		if err != nil || durable.Because(w) == "" {
			t.Fatal(w, err)
		}
	}
}

// Every ten seconds one record says how many there were, from where and why; none where there were
// none.
func TestTenSecondsARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &audittest.Journal{}
		c := unauthenticated.New(j, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		go c.Run(ctx)
		began := time.Now().UTC()
		refuse(t, c, "missing", "192.0.2.7", 3)
		refuse(t, c, "missing", "192.0.2.200", 2)
		refuse(t, c, "expired", "192.0.2.7", 1)
		refuse(t, c, "missing", "::ffff:198.51.100.1", 1)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if n := len(sums(j)); n != 0 {
			t.Fatalf("%d records within nine seconds", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		all := sums(j)
		want := []audit.UnauthenticatedCount{
			{Cause: "missing", Addresses: "192.0.2.0/24", Requests: 5}, {Cause: "expired", Addresses: "192.0.2.0/24", Requests: 1},
			{Cause: "missing", Addresses: "198.51.100.0/24", Requests: 1},
		}
		if len(all) != 1 || !slices.Equal(all[0].Counts, want) || !all[0].Since.Equal(began) {
			t.Fatalf("%+v", all)
		}
		// What is counted while it stops is written at the end.
		stop()
		synctest.Wait()
		refuse(t, c, "missing", "2001:db8::1", 1)
		c.Close()
		if all := sums(j); len(all) != 2 || all[1].Counts[0].Addresses != "2001:db8::/64" {
			t.Errorf("%+v", all)
		}
		c.Close()
		if all := sums(j); len(all) != 2 {
			t.Errorf("written twice: %+v", all)
		}
	})
}

// Whatever comes, memory and record are bounded, and no request is left out of the count.
func TestManyAddressesAndCauses(t *testing.T) {
	j := &audittest.Journal{}
	c := unauthenticated.New(j, slog.New(slog.DiscardHandler))
	const n = 10_000
	for i := range n {
		refuse(t, c, fmt.Sprintf("cause %d", i%1000), fmt.Sprintf("10.%d.%d.1", i/256, i%256), 1)
	}
	c.Close()
	all := sums(j)
	total := int64(0)
	for _, row := range all[0].Counts {
		total += row.Requests
	}
	if len(all) != 1 || len(all[0].Counts) > 300 || total != n {
		t.Errorf("%d rows, %d requests", len(all[0].Counts), total)
	}
}

// What the journal does not take is kept, and written with what comes later.
func TestWhatTheJournalDoesNotTakeIsKept(t *testing.T) {
	j, full := &audittest.Journal{}, false
	j.Refuse = func(_ context.Context, r audit.Record) error {
		if _, sum := r.(audit.Unauthenticated); sum && full {
			return errors.New("no space left on device")
		}
		return nil
	}
	c := unauthenticated.New(j, slog.New(slog.DiscardHandler))
	refuse(t, c, "missing", "192.0.2.7", 3)
	full = true
	c.Close()
	full = false
	refuse(t, c, "missing", "192.0.2.7", 1)
	c.Close()
	if all := sums(j); len(all) != 1 || all[0].Counts[0].Requests != 4 {
		t.Errorf("%+v", all)
	}
}

// A journal that takes nothing gives no witness, and what got no answer is not counted.
func TestADeadJournalAnswersNobody(t *testing.T) {
	j := &audittest.Journal{Refuse: audittest.Broken(errors.New("no space left on device"))}
	c := unauthenticated.New(j, slog.New(slog.DiscardHandler))
	if w, err := c.Refuse(t.Context(), "missing", netip.Addr{}); err == nil || w != nil {
		t.Errorf("%v, %v", w, err)
	}
	j.Refuse = nil
	c.Close()
	if all := sums(j); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestBlock(t *testing.T) {
	for name, c := range map[string]struct{ from, want string }{
		"IPv4":           {"192.0.2.7", "192.0.2.0/24"},
		"IPv4 in IPv6":   {"::ffff:192.0.2.7", "192.0.2.0/24"},
		"IPv6":           {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		"IPv6 of a zone": {"fe80::1%eth0", "fe80::/64"},
		"loopback":       {"127.0.0.1", "127.0.0.0/24"},
		"none":           {"", "other"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := netip.ParseAddr(c.from)
			if got := unauthenticated.Block(a); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
