package envoy

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	fileloggerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamloggerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// accessLogFields is everything a line of the access log says. No header but the Host, no query
// string (SQL, page tokens and API keys travel there), no body, no dynamic metadata (it holds the
// sealed verdict).
var accessLogFields = map[string]string{
	"time":                  "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
	"request_id":            formatRequestID,
	"method":                "%REQUEST_HEADER(:METHOD)%",
	"authority":             "%REQUEST_HEADER(:AUTHORITY)%",
	"path":                  "%PATH(NQ)%",
	"protocol":              "%PROTOCOL%",
	"response_code":         "%RESPONSE_CODE%",
	"response_code_details": "%RESPONSE_CODE_DETAILS%",
	"response_flags":        "%RESPONSE_FLAGS%",
	"bytes_received":        "%BYTES_RECEIVED%",
	"bytes_sent":            "%BYTES_SENT%",
	"duration_ms":           "%DURATION%",
	"remote_address":        "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
	"tls_version":           "%DOWNSTREAM_TLS_VERSION%",
	"route":                 "%ROUTE_NAME%",
	"upstream_cluster":      "%UPSTREAM_CLUSTER%",
}

func accessLog(path string) *accesslogv3.AccessLog {
	fields := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for name, format := range accessLogFields {
		fields.Fields[name] = structpb.NewStringValue(format)
	}
	format := &corev3.SubstitutionFormatString{
		Format:          &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: fields},
		OmitEmptyValues: true,
	}
	if path == "" {
		return &accesslogv3.AccessLog{
			Name: "envoy.access_loggers.stdout",
			ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(&streamloggerv3.StdoutAccessLog{
				AccessLogFormat: &streamloggerv3.StdoutAccessLog_LogFormat{LogFormat: format},
			})},
		}
	}
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.file",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(&fileloggerv3.FileAccessLog{
			Path:            path,
			AccessLogFormat: &fileloggerv3.FileAccessLog_LogFormat{LogFormat: format},
		})},
	}
}
