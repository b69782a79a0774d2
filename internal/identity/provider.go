package identity

import "net/http"

// Client returns a configured issuer and the HTTP client by which it is reached: bounded in time
// and size, with the issuer's CA file. It is for who logs people in there.
func (v *Verifier) Client(name string) (Issuer, *http.Client, bool) {
	for _, i := range v.issuers {
		if i.Name == name {
			return i.Issuer, i.keys.client, true
		}
	}
	return Issuer{}, nil, false
}
