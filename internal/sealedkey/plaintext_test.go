package sealedkey_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bqgate/bqgate/internal/sealedkey"
	"github.com/bqgate/bqgate/internal/sealedkey/sealedkeytest"
)

// A key that lies about in plain text is found wherever Google's tools would take it from.
func TestInPlainText(t *testing.T) {
	key, other := sealedkeytest.New(t, account, id), sealedkeytest.New(t, account, strings.Repeat("f", 40))
	text := string(key.JSON(t, nil))
	for name, row := range map[string]struct {
		file, variable, text string
		what                 string // "" where it is nothing
		same                 bool
	}{
		"GOOGLE_APPLICATION_CREDENTIALS": {"anything", "GOOGLE_APPLICATION_CREDENTIALS", text, "a service-account key", true},
		"gcloud's override":              {"anything", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", text, "a service-account key", true},
		"Terraform's path":               {"anything", "GOOGLE_CREDENTIALS", text, "a service-account key", true},
		"application default":            {".config/gcloud/application_default_credentials.json", "", text, "a service-account key", true},
		"another key": {
			".config/gcloud/application_default_credentials.json", "", string(other.JSON(t, nil)), "a service-account key", false,
		},
		"a user's login": {".config/gcloud/application_default_credentials.json", "",
			`{"type":"authorized_user","refresh_token":"1//0g"}`, "a user's refresh token", false},
		"federation":       {".config/gcloud/application_default_credentials.json", "", `{"type":"external_account"}`, "", false},
		"legacy":           {".config/gcloud/legacy_credentials/" + account + "/adc.json", "", text, "a service-account key", true},
		"gcloud's logins":  {".config/gcloud/credentials.db", "", "SQLite format 3\x00…" + text, "among other things", true},
		"beside the file":  {"keys/key.json", "", text, "a service-account key", true},
		"somewhere else":   {"elsewhere/key.json", "", text, "", false},
		"CLOUDSDK_CONFIG":  {"sdk/application_default_credentials.json", "CLOUDSDK_CONFIG", text, "a service-account key", true},
		"nothing is there": {"", "", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			path := filepath.Join(home, row.file)
			if row.file != "" {
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			env := map[string]string{}
			if row.variable != "" {
				env[row.variable] = path
			}
			if row.variable == "CLOUDSDK_CONFIG" {
				env[row.variable] = filepath.Dir(path)
			}
			found := sealedkey.InPlainText(id, filepath.Join(home, "keys"), home, func(name string) string { return env[name] })
			if row.what == "" {
				if len(found) != 0 {
					t.Errorf("found %+v", found)
				}
				return
			}
			if len(found) != 1 || !strings.Contains(found[0].What, row.what) || found[0].Same != row.same {
				t.Fatalf("found %+v, want %q", found, row.what)
			}
			if !strings.Contains(found[0].Place, path) ||
				!strings.Contains(found[0].Place, strings.TrimPrefix(row.variable, "CLOUDSDK_CONFIG")) {
				t.Errorf("it is at %s", found[0].Place)
			}
		})
	}
	t.Run("JSON in the environment", func(t *testing.T) {
		found := sealedkey.InPlainText(id, "", "", func(name string) string { return map[string]string{"GOOGLE_CREDENTIALS": text}[name] })
		if len(found) != 1 || found[0].Place != "GOOGLE_CREDENTIALS" || !found[0].Same {
			t.Errorf("found %+v", found)
		}
	})
}
