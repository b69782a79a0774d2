package gateway

import (
	"time"

	"github.com/bqgate/bqgate/extauthz"
	"github.com/bqgate/bqgate/internal/approvals"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/notify"
	"github.com/bqgate/bqgate/policies"
)

// inForce is what a reload replaces, all of it at once.
type inForce struct {
	policies *policies.Set
	notify   *notify.Targets
	prices   extauthz.Prices
	since    time.Time
}

// readInForce makes it from a configuration, or says everything that is wrong.
func readInForce(c *config.Config) (*inForce, error) {
	set, err := loadPolicies(c)
	if err != nil {
		return nil, err
	}
	targets, err := notify.Load(c.Notifications)
	if err != nil {
		return nil, err
	}
	return &inForce{
		policies: set, notify: targets, since: time.Now(),
		prices: extauthz.Prices{Default: c.Approvals.PricePerTiB, ByLocation: c.Approvals.PriceByLocation},
	}, nil
}

// The parts of the gateway ask for what is in force each time: they hold none of it.

func (g *gateway) policySet() *policies.Set { return g.current.Load().policies }

func (g *gateway) prices() extauthz.Prices { return g.current.Load().prices }

func (g *gateway) targets() *notify.Targets { return g.current.Load().notify }

func (g *gateway) targetsOf(r approvals.Request, k approvals.Kind) []string {
	return g.targets().Of(r, k)
}

func (g *gateway) groupsOf(s identity.Subject) []string { return g.policySet().Groups(s) }

func (g *gateway) knownGroups(groups []string) bool { return g.policySet().Known(groups) }
