package envoy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// ReleaseLine is the line of Envoy releases that this package was measured on. Older ones lack
// fixes that it relies on; newer ones may behave differently in the corners it relies on.
const ReleaseLine = "1.40"

// BinaryVariable names the environment variable that overrides where the binary is looked for.
const BinaryVariable = "BQGATE_ENVOY"

// Find returns the path of an Envoy binary of ReleaseLine: the one that BQGATE_ENVOY names, or the
// first that fits in PATH and then in dirs. A binary that BQGATE_ENVOY names and that does not fit
// is an error.
func Find(ctx context.Context, dirs ...string) (string, error) {
	if path := os.Getenv(BinaryVariable); path != "" {
		if err := checkVersion(ctx, path); err != nil {
			return "", fmt.Errorf("%s: %w", BinaryVariable, err)
		}
		return filepath.Abs(path)
	}
	var candidates []string
	if path, err := exec.LookPath("envoy"); err == nil {
		candidates = append(candidates, path)
	}
	for _, dir := range dirs {
		candidates = append(candidates, filepath.Join(dir, "envoy"))
	}
	var tried []error
	for _, path := range candidates {
		err := checkVersion(ctx, path)
		if err == nil {
			return filepath.Abs(path)
		}
		tried = append(tried, err)
	}
	return "", fmt.Errorf("no Envoy %s.x found; run scripts/fetch-envoy.sh or set %s: %w",
		ReleaseLine, BinaryVariable, errors.Join(append(tried, errors.New("looked in PATH and the build folder"))...))
}

// versionOutput is the form of what `envoy --version` prints:
// "envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL".
var versionOutput = regexp.MustCompile(`version: [0-9a-f]+/([0-9]+\.[0-9]+)\.[0-9]+[^/]*/`)

func checkVersion(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").CombinedOutput() //nolint:gosec // G204, G702: the operator names the binary
	if err != nil {
		return fmt.Errorf("ask %s for its version: %w", path, err)
	}
	m := versionOutput.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("%s does not say its version as Envoy does", path)
	}
	if line := string(m[1]); line != ReleaseLine {
		return fmt.Errorf("%s is Envoy %s, want %s", path, line, ReleaseLine)
	}
	return nil
}

// Validate asks the binary whether it accepts the bootstrap file, without serving anything.
func Validate(ctx context.Context, binary, bootstrap string) error {
	//nolint:gosec // G204: the operator names the binary
	out, err := exec.CommandContext(ctx, binary, "--mode", "validate", "--disable-hot-restart", "--config-path", bootstrap).CombinedOutput()
	if err != nil {
		return fmt.Errorf("envoy --mode validate of %s: %w\n%s", bootstrap, err, out)
	}
	return nil
}
