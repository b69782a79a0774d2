package identity

import "regexp"

// application is a token of a program, not of a person, at an issuer of people. It has no run: all
// tokens of one program are one owner.
func application(what string, id string, marks ...mark) kind {
	entry := []string{id}
	return kind{what: what, marks: marks, workload: true, owner: entry, grant: entry, budget: entry}
}

var standardClaims = map[string]string{"email": "email", "groups": "groups", "actor": "email|preferred_username"}

// google is accounts.google.com: people, and service accounts of anybody's projects.
// https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload;
// service accounts: https://cloud.google.com/docs/authentication/get-id-token.
var google = preset{
	urls: []string{"https://accounts.google.com"},
	kinds: []kind{
		application("a service account", "azp|sub", mark{claim: "email", like: regexp.MustCompile(`\.gserviceaccount\.com$`)}),
		person,
	},
	claims: map[string]string{"email": "email", "groups": "groups", "actor": "email"},
	pitfalls: []Pitfall{
		{Name: "stranger", Claims: map[string]any{
			"sub": "100000000000000000000", "email": "somebody@gmail.com", "email_verified": true, "hd": nil, "groups": nil,
		}, Whose: "anybody who has a Google account, and of service accounts of any project",
			Why: "all of Google has one issuer", Cure: `claims.hd == "acme.example"`},
		{Name: "hd", Reads: []string{"email"}, Unless: []string{"hd", "sub"}, Claims: map[string]any{"hd": nil},
			Whose: "an account outside your Workspace that has an address of yours",
			Why:   "anybody can make a Google account with an address elsewhere, and keeps it when the address goes to somebody else",
			Cure:  `claims.hd == "acme.example"`},
		{Name: "groups", Missing: "groups", Whose: "everybody",
			Why:  "Google's tokens have no groups",
			Cure: `name people by claims.email, beside claims.hd`},
	},
}

// okta is one authorization server of an Okta organisation.
// https://developer.okta.com/docs/reference/api/oidc/ has the claims of ID and access tokens; a
// token of client credentials has `cid` and no `uid`.
var okta = preset{
	urls: []string{"https://{host}/oauth2/default"},
	also: regexp.MustCompile(`^https://[^/?#]+(/oauth2/[A-Za-z0-9]+)?$`),
	kinds: []kind{
		application("an application", "cid|sub", mark{claim: "cid"}, mark{claim: "uid", absent: true}),
		person,
	},
	claims: standardClaims,
	pitfalls: []Pitfall{
		{Name: "application", Workload: true, Claims: map[string]any{
			"cid": "0oa9someapp", "sub": "0oa9someapp", "uid": nil, "groups": nil, "email": nil, "email_verified": nil,
			"preferred_username": nil,
		}, Whose: "an application of your own (client credentials)", Why: "it is signed under the same issuer", Cure: `!subject.workload`},
		{Name: "groups", Missing: "groups", Whose: "anybody in no group",
			Why: "Okta sends no groups until the authorization server has a groups claim, and never to client credentials",
			Cure: `has(claims.groups) && …; or, once the claim is there, say claims: {groups: groups} at the issuer in the gateway's ` +
				`configuration`},
	},
}

// entra is one tenant of Microsoft Entra ID.
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference and
// access-token-claims-reference: sub is another for each application, oid is the account;
// optional-claims-reference: xms_edov, idtyp.
var entra = preset{
	urls: []string{"https://login.microsoftonline.com/{tenant}/v2.0"}, ids: true,
	also: regexp.MustCompile(`^https://(login\.microsoftonline\.(com|us)/` + uuidShape + `/v2\.0|sts\.windows\.net/` + uuidShape + `/)$`),
	kinds: []kind{
		application("an application", "azp|appid|sub", mark{claim: "idtyp", like: regexp.MustCompile(`^app$`)}),
		application("an application", "azp|appid|sub", mark{claim: "oid", sameAs: "sub"}),
		{what: "a person", people: []string{"oid|sub|email|preferred_username"}},
	},
	claims:   map[string]string{"email": "email", "groups": "groups|roles", "actor": "preferred_username|oid"},
	verified: "xms_edov",
	pitfalls: []Pitfall{
		{Name: "sub", Reads: []string{"sub"}, Unless: []string{"oid"}, Whose: "whoever has that sub at this one application",
			Why:  "Entra ID makes another sub for each application, so that one person has two here and at the console",
			Cure: `claims.oid == "…"`},
		{Name: "email", Reads: []string{"email", "upn", "preferred_username", "unique_name"}, Unless: []string{"xms_edov", "oid"},
			Whose: "an account that was given that address", Why: "Entra ID does not verify these, and they change",
			Cure: `claims.oid == "…", or claims.xms_edov == true beside it`},
		{Name: "application", Workload: true, Claims: map[string]any{
			"idtyp": "app", "oid": "99900011-0000-4000-8000-000000000000", "sub": "99900011-0000-4000-8000-000000000000", "email": nil,
			"preferred_username": nil, "upn": nil, "groups": nil, "scp": nil,
		}, Whose: "an application of the tenant", Why: "it is signed under the same issuer", Cure: `!subject.workload`},
		{Name: "groups", Missing: "groups", Whose: "anybody in no group, or in more than 200",
			Why: "Entra ID sends no groups until the application's token configuration says so, and for members of many a link in " +
				"their place",
			Cure: `has(claims.groups) && …, or application roles (claims.roles); or, once the claim is there, say claims: {groups: ` +
				`groups} ` +
				`at the issuer in the gateway's configuration`},
		{Name: "group-ids", Compared: "groups", Shape: `^` + uuidShape + `$`, Whose: "nobody",
			Why:  "Entra ID names groups by their object ids, unless the application was told otherwise",
			Cure: `"OBJECT ID" in claims.groups`},
	},
}

// auth0 is one tenant of Auth0, or its custom domain. Its issuer ends in a slash.
// https://auth0.com/docs/secure/tokens/id-tokens/id-token-structure; own claims have names like
// URLs: https://auth0.com/docs/secure/tokens/json-web-tokens/create-custom-claims.
var auth0 = preset{
	urls: []string{"https://{host}/"},
	kinds: []kind{
		application("an application", "azp|sub", mark{claim: "gty", like: regexp.MustCompile(`^client-credentials$`)}),
		application("an application", "azp|sub", mark{claim: "sub", like: regexp.MustCompile(`@clients$`)}),
		person,
	},
	claims: standardClaims,
	pitfalls: []Pitfall{
		{Name: "stranger", Alone: true, Claims: map[string]any{
			"sub": "auth0|000000000000000000000000", "email": "somebody@example.net", "email_verified": true, "groups": nil, "org_id": nil,
		}, Whose: "anybody who signs up", Why: "connections let strangers sign up unless that is switched off",
			Cure: `claims.org_id == "…", or a claim that an Action sets`},
		{Name: "email", Reads: []string{"email"}, Claims: map[string]any{"email_verified": false},
			Whose: "an address that nobody verified", Why: "whoever signs up writes it", Cure: `claims.email_verified == true && …`},
		{Name: "application", Workload: true, Alone: true, Claims: map[string]any{
			"sub": "SOMEAPP@clients", "gty": "client-credentials", "email": nil, "email_verified": nil, "groups": nil, "org_id": nil,
		}, Whose: "an application (client credentials)", Why: "it is signed under the same issuer", Cure: `!subject.workload`},
		{Name: "groups", Missing: "groups", Whose: "everybody",
			Why: "Auth0 sends no groups of its own, and an Action may set claims only under names like URLs",
			Cure: `claims["https://acme.example/groups"], and the same name under claims: {groups: …} at the issuer in the gateway's ` +
				`configuration`},
	},
}

// keycloak is one realm. https://www.keycloak.org/docs/latest/server_admin/#_service_accounts and
// #_protocol-mappers: groups come with a mapper, service accounts are users called
// service-account-CLIENT.
var keycloak = preset{
	urls: []string{"https://{host}/realms/{realm}"},
	also: regexp.MustCompile(`^https://[^/?#]+(/[^/?#]+)*/realms/[^/?#]+$`),
	kinds: []kind{
		application("a service account", "azp|client_id|sub", mark{claim: "preferred_username",
			like: regexp.MustCompile(`^service-account-`)}),
		application("a service account", "azp|client_id|sub", mark{claim: "client_id"}),
		person,
	},
	claims: map[string]string{"email": "email", "groups": "groups|realm_access.roles", "actor": "preferred_username|email"},
	pitfalls: []Pitfall{
		{Name: "email", Reads: []string{"email"}, Claims: map[string]any{"email_verified": false},
			Whose: "an address that nobody verified", Why: "people write it themselves where the realm lets them edit their account",
			Cure: `claims.email_verified == true && …`},
		{Name: "application", Workload: true, Claims: map[string]any{
			"preferred_username": "service-account-any", "client_id": "any", "email": nil, "email_verified": false, "groups": nil,
			"realm_access": map[string]any{"roles": []any{"offline_access", "uma_authorization"}},
		}, Whose: "a client's service account", Why: "it is a user of the same realm", Cure: `!subject.workload`},
		{Name: "groups", Missing: "groups", Whose: "anybody in no group",
			Why: "Keycloak sends no groups until a client scope has a group membership mapper, and then full paths (/data) unless " +
				"told otherwise",
			Cure: `has(claims.groups) && …, or claims.realm_access.roles; or, once the mapper is there, say claims: {groups: groups} ` +
				`at the ` +
				`issuer in the gateway's configuration`},
	},
}

// dex is one Dex. https://dexidp.io/docs/custom-scopes-claims-clients/: federated_claims come with
// scope federated:id and say by which connector somebody came.
var dex = preset{
	urls:   []string{"https://{host}/dex"},
	also:   regexp.MustCompile(`^https://[^/?#]+(/[^?#]*)?$`),
	kinds:  []kind{person},
	claims: standardClaims,
	pitfalls: []Pitfall{
		{Name: "connector", Reads: []string{"groups", "email", "preferred_username", "name"}, Claims: map[string]any{
			"federated_claims": map[string]any{"connector_id": "another", "user_id": "1"},
		}, Whose: "somebody of another connector",
			Why:  "each connector has its own people and groups, and Dex passes their names on as they are",
			Cure: `claims.federated_claims.connector_id == "…" (scope federated:id)`},
		{Name: "email", Reads: []string{"email"}, Claims: map[string]any{"email_verified": false},
			Whose: "an address that nobody verified", Why: "some connectors do not say", Cure: `claims.email_verified == true && …`},
	},
}
