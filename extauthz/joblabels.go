package extauthz

import (
	"cmp"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/bigquery"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/policies"
)

// Labels tell at Google whose a job is, so that Cloud Audit Logs, billing exports and
// INFORMATION_SCHEMA.JOBS can be split by agent. They are welded to the job as its decision is
// (jobs.Weld): a job with others is not adopted. No decision hangs on them.

// fitting is a value of a label as it stands. BigQuery takes letters of other scripts too; what is
// not plain is told by its digest.
// https://cloud.google.com/bigquery/docs/labels-intro#requirements
var (
	fitting   = regexp.MustCompile(`^[a-z0-9_-]{1,63}$`)
	unfitting = regexp.MustCompile(`[^a-z0-9]+`)
)

const (
	shownOfLabel  = 40 // of a value that does not fit, beside its digest
	digestOfLabel = 8  // bytes
)

// jobLabels are the labels of a job, and what each of them stands for, for the record.
func (s *Service) jobLabels(a asked, j *judged) (map[string]string, []audit.Label) {
	names, group := a.policy.Labels(j.decision)
	labels := map[string]string{}
	var of []audit.Label
	for _, name := range names {
		whole := whatLabels(name, a.subject, group, j)
		if whole == "" {
			continue
		}
		key, value := bigquery.LabelPrefix+"_"+name, s.labelValue(name, whole)
		labels[key] = value
		of = append(of, audit.Label{Key: key, Value: value, Of: whole})
	}
	return labels, of
}

// whatLabels is what a label stands for, "" where there is nothing.
func whatLabels(name string, s identity.Subject, group string, j *judged) string {
	claim := func(names ...string) string {
		for _, name := range names {
			switch v := s.Claims[name].(type) {
			case string:
				if v != "" {
					return v
				}
			case float64:
				return strconv.FormatFloat(v, 'f', -1, 64)
			}
		}
		return ""
	}
	switch name {
	case policies.LabelOwner:
		return identity.SubjectKey(s.Issuer, s.Sub)
	case policies.LabelPerson:
		return s.Person
	case policies.LabelGroup:
		return group
	case policies.LabelRepository:
		return cmp.Or(s.Run.Repository, claim("repository", "project_path"))
	case policies.LabelCommit:
		return cmp.Or(s.Run.Commit, claim("sha"))
	case policies.LabelRun:
		return claim("run_id", "pipeline_id")
	case policies.LabelRule:
		return j.decision.Rule.ID()
	case policies.LabelRequest:
		return j.approval
	default:
		return ""
	}
}

// labelValue spells a value as a label may be. What does not fit as it stands is told by a keyed
// digest, behind as much of it as can be read: "acme_app-0123456789abcdef". The subject, which may
// be somebody's address, and whatever else looks like one, is told by the digest alone, unless the
// rule wants the person's name. Nobody without the gateway's keys can guess what a digest is of;
// the record of the decision has both.
func (s *Service) labelValue(name, whole string) string {
	lower := strings.ToLower(whole)
	secret := name == policies.LabelOwner || name != policies.LabelPerson && strings.Contains(whole, "@")
	switch {
	case secret:
	case name == policies.LabelRequest && fitting.MatchString(lower): // an id of ours, whatever its case
		return lower
	case fitting.MatchString(whole):
		return whole
	}
	sum := s.Keys.Name("job label", name, whole)
	digest := hex.EncodeToString(sum[:digestOfLabel])
	if secret {
		return digest
	}
	shown := strings.Trim(unfitting.ReplaceAllString(lower, "_"), "_")
	shown = strings.TrimRight(shown[:min(len(shown), shownOfLabel)], "_")
	return strings.TrimPrefix(cmp.Or(shown, "x")+"-"+digest, "-")
}
