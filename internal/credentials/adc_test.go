package credentials

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What Application Default Credentials find is judged by what it is: a secret in plain text comes
// in neither by GOOGLE_APPLICATION_CREDENTIALS nor from gcloud's place, whatever its mode and name.
func TestApplicationDefaultTakesNoSecretFile(t *testing.T) {
	google := startFakes(t)
	sts := google.externalAccount("https://sts.example/v1/token")
	text, err := os.ReadFile(sts)
	if err != nil {
		t.Fatal(err)
	}
	const key = `"private_key_id":"0a1b","private_key":"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQ\\n-----END PRIVATE ` +
		`KEY-----\\n","client_email":"x@demo.iam.gserviceaccount.com","client_id":"1"`
	const user = `"client_id":"1.apps.googleusercontent.com","client_secret":"d-FL95Q19q7MQmFpd7hHD0Ty",` +
		`"refresh_token":"1//0gMIIEvQrefresh"`
	files := map[string]struct {
		text string
		says string // "" where it is taken
	}{
		"service account key": {`{"type":"service_account",` + key + `}`, `has type "service_account"`},
		"service account key of a universe": {`{"type":"service_account","universe_domain":"u.example",` + key + `}`,
			"Application Default Credentials"},
		"user's refresh token": {`{"type":"authorized_user",` + user + `}`, `has type "authorized_user"`},
		"impersonation by a key": {
			`{"type":"impersonated_service_account","service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1` +
				`/projects/-/serviceAccounts/a@b.iam.gserviceaccount.com:generateAccessToken",` +
				`"source_credentials":{"type":"service_account",` + key + `}}`, `has type "impersonated_service_account"`,
		},
		"impersonation by a user": {
			`{"type":"impersonated_service_account","service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1` +
				`/projects/-/serviceAccounts/a@b.iam.gserviceaccount.com:generateAccessToken",` +
				`"source_credentials":{"type":"authorized_user",` + user + `}}`, `has type "impersonated_service_account"`,
		},
		"workforce user's refresh token": {
			`{"type":"external_account_authorized_user","audience":"//iam.googleapis.com/locations/global/workforcePools/p/providers/q",` +
				`"token_url":"https://sts.example/v1/oauthtoken",` + user + `}`, `has type "external_account_authorized_user"`,
		},
		"Distributed Cloud key": {
			`{"type":"gdch_service_account","format_version":"1","project":"p","name":"n","token_uri":"https://sts.example/t",` +
				`"ca_cert_path":"","private_key_id":"1","private_key":"-----BEGIN EC PRIVATE KEY-----\\nMIIEvQIB\\n-----END EC PRIVATE ` +
				`KEY-----\\n"}`, "Application Default Credentials",
		},
		"a key that says federation as well": {`{"type":"external_account",` + key + `,"type":"service_account"}`, "unique keys"},
		"a client secret":                    {`{"installed":{` + user + `}}`, "Application Default Credentials"},
		"not JSON":                           {"MIIEvQIBADANBgkqhkiG9w0BAQ", "Application Default Credentials"},
		"federation over plain http": {strings.Replace(string(text), "https://sts.example", "http://sts.example", 1),
			"token_url must be https"},
		"federation": {string(text), ""},
	}
	for name, file := range files {
		for place, put := range map[string]func(t *testing.T) string{
			"GOOGLE_APPLICATION_CREDENTIALS": func(t *testing.T) string {
				path := filepath.Join(t.TempDir(), "anything.json")
				t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
				return path
			},
			"gcloud's place": func(t *testing.T) string {
				home := t.TempDir()
				t.Setenv("HOME", home)
				t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
				path := filepath.Join(home, ".config", "gcloud", "application_default_credentials.json")
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				return path
			},
		} {
			for _, mode := range []os.FileMode{0o644, 0o600} {
				t.Run(fmt.Sprintf("%s/%s/%o", name, place, mode), func(t *testing.T) {
					if err := os.WriteFile(put(t), []byte(file.text), mode); err != nil {
						t.Fatal(err)
					}
					config := google.config()
					config.Source = Source{ApplicationDefault: true, CAFile: config.Source.CAFile}
					b, err := New(context.Background(), config)
					if err == nil {
						b.Close()
					}
					switch {
					case file.says == "" && err != nil:
						t.Fatalf("refused: %v", err)
					case file.says == "":
					case err == nil:
						t.Fatal("taken")
					case !strings.Contains(err.Error(), file.says):
						t.Errorf("error = %v, want one that says %q", err, file.says)
					}
					for _, secret := range []string{"MIIEvQ", "d-FL95Q19q7MQmFpd7hHD0Ty", "1//0g"} {
						t.Run(secret, func(t *testing.T) {
							if err != nil && strings.Contains(err.Error(), secret) {
								t.Errorf("error holds a secret: %v", err)
							}
						})
					}
				})
			}
		}
	}
}

// Without a file they are the machine's own identity.
func TestApplicationDefaultOfTheMachine(t *testing.T) {
	google := startFakes(t)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", "127.0.0.1:1")
	config := google.config()
	config.Source = Source{ApplicationDefault: true}
	b, err := New(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}
