package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/config"
	"github.com/bqgate/bqgate/internal/health"
	"github.com/bqgate/bqgate/internal/keyfile"
	"github.com/bqgate/bqgate/internal/sealed"
	"github.com/bqgate/bqgate/internal/wrapping"
)

// keyFilesEvery is how often the key files are looked at: a Kubernetes Secret changes in its mount,
// and tells nobody.
const keyFilesEvery = 5 * time.Second

// keyFile is one of the files that hold the gateway's own keys.
type keyFile struct {
	what, path string
	reload     func(path string, by ...keyfile.Wrapper) error
	by         []keyfile.Wrapper
	id         func() keyfile.ID // of the key that writes

	seen [sha256.Size]byte // of what it held when it was read last
	bad  error             // why that could not be taken over
	err  error             // what was wrong at the last look
}

// openKeys reads the gateway's own keys.
func (g *gateway) openKeys(ctx context.Context) (err error) {
	c := g.config
	g.wrappers, err = keyWrappers(ctx, c)
	if err != nil {
		return err
	}
	if g.keys, err = sealed.Load(c.SealingKeyFile, g.wrappers...); err != nil {
		return err
	}
	if g.auditKey, err = audit.LoadKey(c.Audit.KeyFile, g.wrappers...); err != nil {
		return err
	}
	g.openKeyFiles()
	return nil
}

// keyWrappers is what opens the files of the gateway's own keys: none, or one.
func keyWrappers(ctx context.Context, c *config.Config) ([]keyfile.Wrapper, error) {
	if c.KeyWrapping == nil {
		return nil, nil
	}
	w, err := wrapping.Open(ctx, *c.KeyWrapping)
	if err != nil {
		return nil, fmt.Errorf("key_wrapping: %w", err)
	}
	return []keyfile.Wrapper{w}, nil
}

func (g *gateway) openKeyFiles() {
	c := g.config
	g.keyFiles = []*keyFile{
		{what: "sealing key", path: c.SealingKeyFile, reload: g.keys.Reload, id: g.keys.Seals},
		{what: "audit key", path: c.Audit.KeyFile, reload: g.auditKey.Reload, id: g.auditKey.Writes},
	}
	for _, f := range g.keyFiles {
		f.by = g.wrappers
		f.take() //nolint:errcheck // it was loaded a moment ago; what is wrong with it now is found at the next look
	}
}

// take takes over what the file holds now, if that has changed. news says that it has, or that
// something else is wrong than at the last look.
func (f *keyFile) take() (news bool, err error) {
	text, err := keyfile.ReadPrivate(f.path, f.what)
	if err == nil {
		if sum := sha256.Sum256(text); sum != f.seen {
			f.seen, f.bad, news = sum, f.reload(f.path, f.by...), true
		}
		err = f.bad
	}
	news = news || fmt.Sprint(err) != fmt.Sprint(f.err)
	f.err = err
	return news, err
}

// followKeys takes over the key files as they change, until ctx ends. What cannot be used leaves
// the keys in force that were.
func (g *gateway) followKeys(ctx context.Context) error {
	part := g.parts.Part("key-files", health.Some)
	tick := time.NewTicker(keyFilesEvery)
	defer tick.Stop()
	for {
		g.takeKeys(part)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-g.keysNow: // SIGHUP
		}
	}
}

func (g *gateway) takeKeys(part *health.Part) {
	var wrong []error
	for _, f := range g.keyFiles {
		news, err := f.take()
		if err != nil {
			wrong = append(wrong, fmt.Errorf("the file of the %s cannot be used; the keys of before stay in force", f.what))
		}
		switch {
		case !news:
		case err != nil:
			g.log.Error("a key file cannot be used; the keys of before stay in force", "file", f.what, "error", err)
		default:
			g.log.Info("the keys were loaded again", "file", f.what, "writes", string(f.id()))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		part.Fault(err.Error())
	} else {
		part.Well()
	}
}
