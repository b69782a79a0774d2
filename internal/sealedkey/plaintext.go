package sealedkey

import (
	"bytes"
	"os"
	"path/filepath"
)

// Finding is a secret in plain text.
type Finding struct {
	Place string // a path, or the name of an environment variable
	What  string
	Same  bool // it is the very key that was asked about
}

// whatLies says what is in a credentials file, by its type.
var whatLies = map[string]string{
	serviceAccount:                     "a service-account key",
	"authorized_user":                  "a user's refresh token",
	"external_account_authorized_user": "a workforce user's refresh token",
	"impersonated_service_account":     "credentials by which an account is impersonated",
	"gdch_service_account":             "a key of Google Distributed Cloud",
}

// InPlainText looks where Application Default Credentials, gcloud and Terraform take secrets from
// (https://cloud.google.com/docs/authentication/application-default-credentials), and at the JSON
// files of a folder: the sealed file's own. getenv and home are those of whoever runs the gateway.
func InPlainText(keyID, folder, home string, getenv func(string) string) []Finding {
	var found []Finding
	add := func(place string, text []byte) {
		what, known := whatLies[kind(text)]
		same := keyID != "" && bytes.Contains(text, []byte(keyID)) && bytes.Contains(text, []byte("PRIVATE KEY"))
		switch {
		case known:
			found = append(found, Finding{Place: place, What: what, Same: same})
		case same:
			found = append(found, Finding{Place: place, What: "the key, among other things", Same: true})
		}
	}
	// Of Terraform: JSON or a path.
	for _, name := range []string{"GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GCLOUD_KEYFILE_JSON"} {
		if value := getenv(name); value != "" {
			add(name, []byte(value))
			addFile(name, value, add)
		}
	}
	for _, name := range []string{"GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"} {
		addFile(name, getenv(name), add)
	}
	for _, path := range places(folder, home, getenv("CLOUDSDK_CONFIG")) {
		addFile("", path, add)
	}
	return found
}

// places are the files to look at.
func places(folder, home, cloudsdk string) []string {
	var paths []string
	if home != "" {
		paths = append(paths, filepath.Join(home, ".config", "gcloud"))
	}
	if cloudsdk != "" {
		paths = append(paths, cloudsdk)
	}
	var files []string
	for _, dir := range paths {
		files = append(files, filepath.Join(dir, "application_default_credentials.json"), filepath.Join(dir, "credentials.db"),
			filepath.Join(dir, "access_tokens.db"))
		legacy, _ := filepath.Glob(filepath.Join(dir, "legacy_credentials", "*", "adc.json")) // the pattern is a good one
		files = append(files, legacy...)
	}
	if folder != "" {
		beside, _ := filepath.Glob(filepath.Join(folder, "*.json")) // a folder's name may be no pattern: then nothing is there
		files = append(files, beside...)
	}
	return files
}

// maxLooked is how much of a file is looked at: gcloud's database holds what was logged in with.
const maxLooked = 16 << 20

func addFile(variable, path string, add func(string, []byte)) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxLooked {
		return // it is not there, or not for this user to read
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	if variable != "" {
		path = variable + "=" + path
	}
	add(path, text)
}
