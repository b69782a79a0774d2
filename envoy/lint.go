package envoy

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoregistry"
	"sigs.k8s.io/yaml"

	// Extensions that Lint can read though Render does not use them: ones that do no harm, and ones
	// that deserve more than "unknown".
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/decompressor/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/tap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tap/v3"
)

// Finding is one thing in an Envoy configuration that opens a way around bqgate, or may.
type Finding struct {
	Line int    // 1-based line of the file: of the setting, or where it is missing, of what it is missing from
	Path string // "static_resources.listeners[0].…", in the spelling of the protos
	Rule string // short name of the rule: "fail-closed", "inner-link", …
	Why  string // what is wrong, and what it allows
	Want string // what would be right
}

// String is the finding on one line, without the file's name: "12: fail-closed: … want … (path)".
func (f Finding) String() string {
	return fmt.Sprintf("%d: %s: %s; want %s (%s)", f.Line, f.Rule, f.Why, f.Want, f.Path)
}

// Lint reads an Envoy bootstrap (YAML or JSON) and says everything in it by which traffic could
// pass bqgate unseen, unmasked or unguarded. A configuration by Render has no findings. What Lint
// does not understand is a finding too. The error is for input that is no YAML.
func Lint(text []byte) ([]Finding, error) {
	doc, err := parseDocument(text)
	if err != nil {
		return nil, fmt.Errorf("read the Envoy configuration: %w", err)
	}
	l := &linter{doc: doc, clusters: map[string]*clusterv3.Cluster{}, clusterPaths: map[string]path{}, inner: map[string]bool{},
		upstream: map[string]bool{}}
	l.types(nil, doc.root)
	if len(l.findings) > 0 {
		return l.sorted(), nil // nothing more can be said of a file with types that are unknown
	}
	object, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		l.add(nil, "understood", "the file cannot be read without doubt: "+firstLine(err), "each key once")
		return l.sorted(), nil
	}
	if !bytes.HasPrefix(bytes.TrimSpace(object), []byte("{")) {
		return nil, errors.New("read the Envoy configuration: it is not a mapping")
	}
	var b bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(object, &b); err != nil {
		l.add(nil, "understood", "not an Envoy "+ReleaseLine+" bootstrap: "+firstLine(err),
			"fields and types of config.bootstrap.v3.Bootstrap")
		return l.sorted(), nil
	}
	l.bootstrap(&b)
	return l.sorted(), nil
}

type linter struct {
	doc      *document
	findings []Finding

	clusters     map[string]*clusterv3.Cluster
	clusterPaths map[string]path
	inner        map[string]bool // clusters that filters or the token route call
	upstream     map[string]bool // clusters that data routes lead to
}

func (l *linter) add(p path, rule, why, want string) {
	l.findings = append(l.findings, Finding{Line: l.doc.line(p), Path: p.String(), Rule: rule, Why: why, Want: want})
}

// must adds a finding unless ok.
func (l *linter) must(ok bool, p path, rule, why, want string) {
	if !ok {
		l.add(p, rule, why, want)
	}
}

func (l *linter) sorted() []Finding {
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.Rule, b.Rule)
	})
	return slices.Compact(l.findings)
}

// types looks for extensions that this package does not know.
func (l *linter) types(p path, n node) {
	if name, ok := n.stringAt("@type"); ok {
		if _, err := protoregistry.GlobalTypes.FindMessageByURL(name); err != nil {
			l.add(p.field("@type"), "understood",
				"the extension "+strings.TrimPrefix(name, "type.googleapis.com/")+" is not known and may do anything with traffic",
				"only what \"bqgate envoy render\" writes")
		}
	}
	for _, c := range n.children() {
		l.types(append(p[:len(p):len(p)], c.step), c.node)
	}
}

func (l *linter) bootstrap(b *bootstrapv3.Bootstrap) {
	l.secrets(nil, b.ProtoReflect())
	l.process(b)
	root := path{"static_resources"}
	for i, c := range b.GetStaticResources().GetClusters() {
		l.clusters[c.GetName()], l.clusterPaths[c.GetName()] = c, root.field("clusters").index(i)
	}
	for i, listener := range b.GetStaticResources().GetListeners() {
		l.listener(root.field("listeners").index(i), listener)
	}
	for _, name := range slices.Sorted(maps.Keys(l.inner)) {
		l.innerCluster(name)
	}
	for _, name := range slices.Sorted(maps.Keys(l.upstream)) {
		l.upstreamCluster(name)
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
