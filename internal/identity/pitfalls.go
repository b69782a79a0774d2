package identity

// Pitfall is a token that a condition of a policy's group easily lets through without meaning to.
// `policy lint` and `serve --check` try each on the conditions of the issuer's groups: the claims
// that a pitfall does not name may have any value that helps the token through.
type Pitfall struct {
	Name string // "fork"
	// Claims are what such a token says; nil: it lacks the claim.
	Claims   map[string]any
	Workload bool // the token stands for a workload
	Alone    bool // the token has no other claims: those that the operator adds are not for everybody

	Reads  []string // only for conditions that look at one of these claims; empty: for all
	Unless []string // not for conditions that look at one of these

	// Missing is a claim that tokens may lack: conditions that look at it, and do not ask first,
	// are found, unless the configuration's `claims` names it.
	Missing string
	// Compared is a claim whose values have a shape: conditions that compare it with something of
	// another shape are found.
	Compared string
	Shape    string // the regular expression of such values

	Whose string // whose token it is, in words: "a pull request from a fork"
	Why   string // how somebody comes to have it
	Cure  string // what to write
}

// Pitfalls are those of an issuer; nil where it has no preset.
func (i Issuer) Pitfalls() []Pitfall {
	p := presets[i.Preset]
	var all []Pitfall
	for _, one := range p.pitfalls {
		switch {
		case one.Missing != "" && i.Claims[claimGroups] == one.Missing:
			continue // somebody has looked
		case !one.Workload && p.alsoPeople && !i.WithPeople:
			continue // such tokens are refused
		}
		all = append(all, one)
	}
	return all
}

const claimGroups = "groups"
