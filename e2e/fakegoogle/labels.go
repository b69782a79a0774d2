package fakegoogle

import (
	"regexp"
	"unicode/utf8"
)

// https://cloud.google.com/bigquery/docs/labels-intro#requirements
var (
	labelKey   = regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{M}\p{N}_-]*$`)
	labelValue = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{M}\p{N}_-]*$`)
)

const (
	mostLabels = 64
	mostOfOne  = 63 // characters of a key or value, of at most 128 bytes
)

// checkLabels refuses labels as BigQuery does.
func checkLabels(labels map[string]string) *apiError {
	if len(labels) > mostLabels {
		return errInvalid("Too many labels: a job has at most 64.")
	}
	fits := func(s string) bool { return utf8.RuneCountInString(s) <= mostOfOne && len(s) <= 128 }
	for key, value := range labels {
		switch {
		case !labelKey.MatchString(key) || !fits(key):
			return errInvalid("Label key \"" + key + "\" is invalid.")
		case !labelValue.MatchString(value) || !fits(value):
			return errInvalid("Label value \"" + value + "\" is invalid.")
		}
	}
	return nil
}
