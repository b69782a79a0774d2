package envoy

import (
	"regexp"
	"slices"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	fileloggerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamloggerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// operator is a substitution: %NAME%, %NAME(argument)%, %NAME(argument):12%.
var operator = regexp.MustCompile(`%([A-Z][A-Z0-9_]*)(?:\(([^)]*)\))?(?::[0-9]+)?%`)

// harmlessOperators say nothing that a client or Google keeps secret.
var harmlessOperators = []string{
	"START_TIME", "EMIT_TIME", "PROTOCOL", "UPSTREAM_PROTOCOL", "RESPONSE_CODE", "RESPONSE_CODE_DETAILS", "RESPONSE_FLAGS",
	"RESPONSE_FLAGS_LONG", "CONNECTION_TERMINATION_DETAILS",
	"BYTES_RECEIVED", "BYTES_SENT", "DURATION", "REQUEST_DURATION", "RESPONSE_DURATION", "RESPONSE_TX_DURATION", "COMMON_DURATION",
	"UPSTREAM_HOST", "UPSTREAM_CLUSTER",
	"UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_REMOTE_ADDRESS", "UPSTREAM_TRANSPORT_FAILURE_REASON", "DOWNSTREAM_REMOTE_ADDRESS",
	"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_LOCAL_ADDRESS",
	"DOWNSTREAM_LOCAL_PORT", "DOWNSTREAM_TLS_VERSION",
	"DOWNSTREAM_TLS_CIPHER", "REQUESTED_SERVER_NAME", "ROUTE_NAME", "VIRTUAL_CLUSTER_NAME", "STREAM_ID", "UNIQUE_ID", "CONNECTION_ID",
	"HOSTNAME", "GRPC_STATUS", "GRPC_STATUS_NUMBER",
	"LOCAL_REPLY_BODY",
}

// harmlessWith are operators that depend on their argument.
var harmlessWith = map[string][]string{
	"REQ":               {":METHOD", ":AUTHORITY", "X-REQUEST-ID"},
	"REQUEST_HEADER":    {":METHOD", ":AUTHORITY", "X-REQUEST-ID", "TRANSFER-ENCODING", "X-BQGATE-TRANSFER-ENCODING", "CONTENT-LENGTH"},
	"REQ_WITHOUT_QUERY": {":PATH"},
	"PATH":              {"NQ", "NQ:PATH"},
	"FILTER_STATE":      {"BQGATE.REQUEST_ID:PLAIN"},
}

// secrets looks at every text of the configuration for substitutions that could carry a credential,
// SQL or a row into a log, a header or a local reply. (%REQUEST_HEADER(AUTHORIZATION)% in a
// response header would hand the minted token to the agent.)
func (l *linter) secrets(p path, m protoreflect.Message) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		inner, err := a.UnmarshalNew()
		if err != nil {
			l.add(p, "understood", "an extension cannot be read: "+firstLine(err), "a known one")
			return
		}
		m = inner.ProtoReflect()
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		p := p
		if m.Descriptor().ParentFile().Path() != "google/protobuf/struct.proto" { // whose fields are not to be seen in YAML
			p = p.field(f.TextName())
		}
		switch {
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				l.secretsIn(p.field(k.String()), f.MapValue(), v)
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				l.secretsIn(p.index(i), f, v.List().Get(i))
			}
		default:
			l.secretsIn(p, f, v)
		}
		return true
	})
}

func (l *linter) secretsIn(p path, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		l.secrets(p, v.Message())
	case protoreflect.StringKind:
		for _, m := range operator.FindAllStringSubmatch(v.String(), -1) {
			name, argument := m[1], strings.ToUpper(m[2])
			if slices.Contains(harmlessOperators, name) || slices.Contains(harmlessWith[name], argument) {
				continue
			}
			l.add(p, "secrets", m[0]+" may carry a credential, SQL or rows to where they do not belong",
				"only method, host, path without query (%PATH(NQ)%), ids, codes, sizes and times")
		}
	}
}

// accessLogs wants files or standard streams with a format: Envoy's default format has the query
// string in it.
func (l *linter) accessLogs(p path, logs []*accesslogv3.AccessLog) {
	for i, a := range logs {
		p := p.index(i).field("typed_config")
		m, err := a.GetTypedConfig().UnmarshalNew()
		if err != nil {
			l.add(p, "secrets", "the access log "+a.GetName()+" cannot be read", "a file or standard output")
			continue
		}
		var formatted bool
		switch m := m.(type) {
		case *fileloggerv3.FileAccessLog:
			formatted = m.GetAccessLogFormat() != nil
		case *streamloggerv3.StdoutAccessLog:
			formatted = m.GetAccessLogFormat() != nil
		case *streamloggerv3.StderrAccessLog:
			formatted = m.GetAccessLogFormat() != nil
		default:
			l.add(p, "secrets", "the access log "+a.GetName()+" sends requests elsewhere, headers included", "a file or standard output")
			continue
		}
		l.must(formatted, p, "secrets", "Envoy's default log format holds the query string", "a log_format")
	}
}
