//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Environment of the attacker's program, which is this test binary again.
const (
	attackSocket = "BQGATE_TEST_ATTACK_SOCKET"
	attackToken  = "BQGATE_TEST_ATTACK_TOKEN"
)

// How the attacker's program ends.
const (
	exitHungUp   = 10
	exitAnswered = 11
)

func TestMain(m *testing.M) {
	if socket := os.Getenv(attackSocket); socket != "" {
		os.Exit(callCheck(socket, os.Getenv(attackToken)))
	}
	os.Exit(m.Run())
}

// callCheck asks ext_authz about an honest query with an agent's valid token: its answer would
// carry the minted token.
func callCheck(socket, token string) int {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return 2
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	header := func(key, value string) *corev3.HeaderValue {
		return &corev3.HeaderValue{Key: key, RawValue: []byte(value)}
	}
	const path = "/bigquery/v2/projects/demo/queries"
	out, err := authv3.NewAuthorizationClient(conn).Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "POST", Path: path, RawBody: []byte(`{"query": "SELECT 1", "useLegacySql": false}`),
			HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
				header(":method", "POST"), header(":path", path), header("content-type", "application/json"),
				header("authorization", "Bearer "+token),
			}},
		}},
	}})
	if status.Code(err) == codes.Unavailable {
		return exitHungUp
	}
	fmt.Printf("%v %v\n", out, err)
	return exitAnswered
}

// A1: a process of another user on the gateway's host, with an agent's valid token, asks ext_authz
// itself. The folder is opened to it first, as a careless operator might: it is hung up on all the
// same. The gateway's own user is answered, which shows that the request is one that would have
// brought a token.
func attackCheckAsAnotherUser(t *testing.T, d *demo) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user; internal/unixsocket TestPeers holds the refusal without")
	}
	socket := filepath.Join(d.Sockets, "ext_authz.sock")
	open := func(path string, mode os.FileMode) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(path, info.Mode().Perm()) })
	}
	for path := d.Sockets; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		open(path, 0o755)
	}
	open(socket, 0o666)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(d.Sockets, "attacker") // the test binary's own folder is closed to others
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(program)
	for _, c := range []struct {
		who  string
		uid  uint32
		want int
	}{{"another user", 65534, exitHungUp}, {"the gateway's user", 0, exitAnswered}} {
		cmd := exec.Command(program)
		cmd.Dir = "/"
		cmd.Env = []string{attackSocket + "=" + socket, attackToken + "=" + d.token("agent")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.uid, Gid: c.uid}}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != c.want {
			t.Errorf("%s: %v, want exit status %d\n%s", c.who, err, c.want, out)
		}
	}
}
