package googleidentity

import (
	"regexp"
	"strings"
)

const redacted = "REDACTED"

var (
	// tokenRun is any run of characters that a token could be. Names of hosts, accounts and RPCs
	// are shorter or hold other characters.
	tokenRun = regexp.MustCompile(`[A-Za-z0-9_.~+%=-]{32,}`)
	// tokenWord is what begins like a Google token or a JWT, of any length.
	tokenWord = regexp.MustCompile(`(ya29\.|eyJ|bqs_)[A-Za-z0-9_.~+/%=-]*`)
	// plainName is a dotted name of words, such as the permission
	// iam.serviceAccounts.getAccessToken; no part is as long as a token.
	plainName = regexp.MustCompile(`^[A-Za-z]{1,24}(\.[A-Za-z]{1,24})+$`)
	blanks    = regexp.MustCompile(`\s+`)
)

// Clean makes the text of a foreign error fit for logs: one line, short, and without anything that
// could be a credential.
func Clean(err error) string {
	text := tokenWord.ReplaceAllString(err.Error(), redacted)
	text = tokenRun.ReplaceAllStringFunc(text, func(run string) string {
		if strings.HasSuffix(run, ".googleapis.com") || strings.HasSuffix(run, ".gserviceaccount.com") || plainName.MatchString(run) {
			return run
		}
		return redacted
	})
	text = strings.TrimSpace(blanks.ReplaceAllString(text, " "))
	const most = 400
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
