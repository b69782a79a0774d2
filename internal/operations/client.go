package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// LocalURL is where /readyz is for a client of the gateway's own socket.
const LocalURL = "http://bqgate/readyz?verbose"

// maxStatus is more than a Status can be long.
const maxStatus = 4 << 20

// Client asks through the Unix socket of a gateway on this host.
func Client(socket string) *http.Client {
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
			MaxIdleConns: 1, IdleConnTimeout: time.Minute,
		},
	}
}

// Ask returns what /readyz?verbose says. A gateway that is not ready is an answer; one that does
// not answer is an error.
func Ask(ctx context.Context, client *http.Client, url string) (Status, error) {
	var s Status
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return s, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return s, fmt.Errorf("the gateway does not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusServiceUnavailable {
		return s, fmt.Errorf("the gateway answered %s", answer.Status)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxStatus)).Decode(&s); err != nil {
		return s, fmt.Errorf("the gateway's answer is not a status: %w", err)
	}
	return s, nil
}
