package bigquery

import (
	"bytes"
	_ "embed"
	"regexp"
)

// discovery is Google's discovery document of the API, without its descriptions and without
// addresses: what methods there are and what they take. Its revision is in it.
//
//go:embed discovery.json
var discovery []byte

// MethodDiscovery asks for the discovery document. It is no method of the API: `bq` reads the
// document before anything else, from the address that --api names.
const MethodDiscovery Method = "discovery"

// discoveryPaths are where Google serves the document.
var discoveryPaths = []string{"/$discovery/rest", "/discovery/v1/apis/bigquery/v2/rest"}

// noRoot stands in the document for the address of the service.
var noRoot = []byte(`"rootUrl":""`)

// hostText is a host as a client names it, with or without a port.
var hostText = pattern{regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`), 300}

// Discovery is the document for a client that reached the gateway by this scheme and host; the
// client sends its queries there. A text that is no host is an error.
func Discovery(scheme, host string) ([]byte, error) {
	if !hostText.MatchString(host) {
		return nil, malformed(MethodDiscovery, "the Host header is not a host")
	}
	if scheme != "https" {
		scheme = "http"
	}
	root := scheme + "://" + host + "/" // letters, digits, dots, dashes and colons: it needs no escape
	return bytes.Replace(discovery, noRoot, []byte(`"baseUrl":"`+root+`bigquery/v2/","rootUrl":"`+root+`"`), 1), nil
}
