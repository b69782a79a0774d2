package extauthz

import "strings"

// step is a part of a decision, by which the log and the metric step_seconds say where its time
// went.
type step int

// Steps, each over once what it is named for is done.
const (
	stepDecode step = iota
	stepIdentity
	stepAnalysis
	stepRowAccess
	stepEstimate
	stepBudgets
	stepPolicy
	stepReserve
	stepEncode
	stepAudit
	stepCredentials
	steps // how many there are
)

// stepNames are the words of the log.
var stepNames = [steps]string{
	stepDecode: "decode", stepIdentity: "identity", stepAnalysis: "analysis", stepRowAccess: "row access", stepEstimate: "estimate",
	stepBudgets: "budgets", stepPolicy: "policy", stepReserve: "reserve", stepEncode: "encode", stepAudit: "audit",
	stepCredentials: "credentials",
}

// stepLabels are the values of the metric's label, one for each step.
func stepLabels() []string {
	labels := make([]string, steps)
	for i, name := range stepNames {
		labels[i] = stepLabel(name)
	}
	return labels
}

func stepLabel(name string) string { return strings.ReplaceAll(name, " ", "_") }

// done gives the time since the last step to this one.
func (a asked) done(s step) { a.clock.Done(stepNames[s]) }
