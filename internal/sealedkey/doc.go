// Package sealedkey is the file that a service-account key becomes before it may lie in a gateway.
//
// `bqgate credentials seal` reads the key as Google gives it out, once, and writes
//
//	{
//	  "format": "bqgate-sealed-key/v1",
//	  "account": "crm-reader@demo.iam.gserviceaccount.com",
//	  "key_id": "0a1b…",                        of Google
//	  "project": "demo",
//	  "sealed_at": "2026-12-01T15:00:00Z",
//	  "sealed_by": "operator ada",
//	  "wrapper": "age:…" or "gcp-kms://…",      wrapping.Wrapper.Name
//	  "public_key_sha256": "…",                 of the key's public half (SubjectPublicKeyInfo)
//	  "keyset": "…",                            a Tink AEAD keyset, wrapped
//	  "key": "…"                                the private key (PKCS #8) under that keyset
//	}
//
// All that can be read in it is associated data of both secrets, and the text must be exactly what
// File.Text writes, so a file of which one bit was changed does not open. What else Google's file
// says is not kept: where tokens come from (token_uri) and whose universe it is are fixed, since
// whoever could write a key file could otherwise have assertions sent to himself.
package sealedkey
