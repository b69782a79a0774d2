//go:build demo

package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// greet writes the ready text. Every line of it can be copied and works.
func (d *demo) greet() {
	self, err := os.Executable()
	if err != nil {
		self = "bqgate"
	}
	here := func(path string) string {
		if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
				return rel
			}
		}
		return path
	}
	ask := d.path("bq-agent")
	script := fmt.Sprintf("#!/bin/sh\nexec %q ask --demo %q --as agent \"$@\"\n", self, d.path("demo.json"))
	if err := os.WriteFile(ask, []byte(script), 0o755); err != nil {
		d.log.Error("bq-agent not written", "error", err)
	}
	agent, binary := here(ask), here(self)
	fmt.Fprintf(d.Stdout, `
bqgate demo is ready (%s)

  ask as the agent     %s 'SELECT name, ssn FROM crm.customers LIMIT 3'
                       → the SSNs are masked
  try something bad    %s 'DROP TABLE crm.customers'
                       → refused, and why
  ask for payroll      %s 'SELECT employee, salary FROM finance.payroll'
                       → waits for a person …
  approve it           %s   (log in as reviewer)
                       → … and runs
  or in a shell        %s requests --demo %s
                       %s approve --demo %s --as reviewer --reason 'month end'
  see what remains     %s audit list --dir %s --key-file %s
  how it is            %s status --config %s   (%s/readyz, /metrics)
  your own client      export GOOGLE_APPLICATION_CREDENTIALS=%s GOOGLE_CLOUD_PROJECT=%s
                       client_options={"api_endpoint": %q}

  logs and state       %s        stop with Ctrl-C
`, time.Since(d.Started).Round(100*time.Millisecond), agent, agent, agent, d.info.Console, binary, here(d.path("demo.json")), binary,
		here(d.path("demo.json")), binary, here(d.path("audit")), here(d.path("audit.key")),
		binary, here(d.path("bqgate.yaml")), d.info.Ops, here(d.path("agent.json")), d.Project, d.info.REST, here(d.Dir))
}
