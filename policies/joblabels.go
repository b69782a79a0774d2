package policies

import (
	"slices"
	"strings"

	"github.com/bqgate/bqgate/internal/spelling"
)

// Names of labels that a rule puts on its jobs, each as bqgate_NAME.
const (
	LabelOwner      = "owner"      // the subject, as a digest
	LabelPerson     = "person"     // the human who asked, by name: personal data, which only a rule that says so sends to Google
	LabelGroup      = "group"      // the first of the subject's groups that the rule is for
	LabelRepository = "repository" // of the workload
	LabelCommit     = "commit"
	LabelRun        = "run"
	LabelRule       = "rule"
	LabelRequest    = "request" // of the approval that it ran on

	labelNone = "none"
)

// DefaultLabels are those of a rule that names none.
func DefaultLabels() []string {
	return []string{LabelOwner, LabelGroup, LabelRepository, LabelCommit, LabelRun, LabelRule, LabelRequest}
}

// labels reads which labels the jobs of a rule have.
func (l *loader) labels(d *document, i int, entry RuleEntry) []string {
	known := append(DefaultLabels(), LabelPerson, labelNone)
	for k, name := range entry.Labels {
		at := []any{"rules", i, "labels", k}
		switch {
		case !slices.Contains(known, name):
			l.add(d.wrong(at, "rule %s: %s is no label of a job%s; there are %s", entry.Name, name, spelling.DidYouMean(name, known),
				strings.Join(known, ", ")))
		case name == labelNone && len(entry.Labels) > 1:
			l.add(d.wrong(at, "rule %s: none stands alone", entry.Name))
		case slices.Contains(entry.Labels[:k], name):
			l.add(d.wrong(at, "rule %s: %s stands twice", entry.Name, name))
		}
	}
	switch {
	case len(entry.Labels) == 0:
		return DefaultLabels()
	case slices.Equal(entry.Labels, []string{labelNone}):
		return nil
	default:
		return entry.Labels
	}
}

// Labels are the names of the labels that a job has by a decision: those of the rule that let it
// read, and the group of the subject that the rule is for.
func (s *Set) Labels(d Decision) (names []string, group string) {
	if s == nil {
		return nil, ""
	}
	for _, ref := range append([]RuleRef{d.Rule}, d.Cites...) {
		for i := range s.rules {
			r := &s.rules[i]
			if r.ref != ref {
				continue
			}
			for _, g := range d.Groups {
				if slices.Contains(r.groups, g) {
					return r.labels, g
				}
			}
			return r.labels, ""
		}
	}
	return DefaultLabels(), ""
}
