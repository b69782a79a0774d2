//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
)

// stalledReaders is how many answers nobody reads. make neighbours has floods at full strength.
const stalledReaders = 24

// A37: answers that nobody reads keep nobody else from theirs, are broken off within half a minute,
// and their records say why.
func TestStalledReadersAreEnded(t *testing.T) {
	d := startDemo(t)
	a := d.query("agent", "SELECT x, REPEAT('z', 200) pad FROM UNNEST(GENERATE_ARRAY(1, 40000)) x")
	if a.Status != 200 {
		t.Fatalf("status %d %s", a.Status, a.message())
	}
	job := a.json(t)["jobReference"].(map[string]any)["jobId"].(string)
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048) })
	}}
	for range stalledReaders {
		c, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(d.REST, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "GET /bigquery/v2/projects/%s/queries/%s?maxResults=100000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n",
			d.Project, job, d.token("agent"))
	}
	var others sync.WaitGroup
	stop := make(chan struct{})
	failed := make(chan string, 1)
	others.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if a := d.query("analyst", fmt.Sprintf("SELECT name, %d FROM crm.customers LIMIT 1", n)); a.Status != 200 {
				select {
				case failed <- fmt.Sprintf("status %d %s", a.Status, a.message()):
				default:
				}
			}
		}
	})
	ended := 0
	for deadline := time.Now().Add(2 * time.Minute); ended < stalledReaders && time.Now().Before(deadline); time.Sleep(time.Second) {
		ended = d.slowReaders(t)
	}
	close(stop)
	others.Wait()
	select {
	case what := <-failed:
		t.Errorf("another caller, beside %d stalled readers: %s", stalledReaders, what)
	default:
	}
	if ended != stalledReaders {
		t.Errorf("%d of %d answers that nobody reads were broken off for that reason", ended, stalledReaders)
	}
}

// slowReaders counts the answers that were broken off because too little of them was read.
func (d *demo) slowReaders(t *testing.T) (n int) {
	t.Helper()
	key, err := audit.LoadKey(d.AuditKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	_, err = audit.Read(d.AuditDir, key, func(_ audit.Position, r audit.Record) error {
		if o, is := r.(audit.Outcome); is && o.State == audit.StateBroken && strings.Contains(o.Reason, "its reader takes less than") {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
