package fakegoogle

import (
	"context"
	"sync"
)

// remembering answers a statement that it has run before without running it again.
type remembering struct {
	Engine

	mu      sync.Mutex
	ran     map[Statement]*Result
	dry     map[Statement]*Result
	catalog *Catalog
}

// Remember wraps an engine for measurements of what stands in front of it: an upstream that answers
// at once and always the same. Only a statement that reads is remembered; after one that may have
// changed something, everything is forgotten. It takes the engine over.
func Remember(e Engine) Engine {
	r := &remembering{Engine: e}
	r.forget()
	return r
}

// maxRemembered bounds what is kept; beyond it everything is asked again.
const maxRemembered = 10_000

func (r *remembering) forget() {
	r.ran, r.dry, r.catalog = map[Statement]*Result{}, map[Statement]*Result{}, nil
}

func (r *remembering) Run(ctx context.Context, s Statement) (*Result, error) {
	return r.ask(ctx, s, func() map[Statement]*Result { return r.ran }, r.Engine.Run)
}

func (r *remembering) Dry(ctx context.Context, s Statement) (*Result, error) {
	return r.ask(ctx, s, func() map[Statement]*Result { return r.dry }, r.Engine.Dry)
}

// ask hands out copies: the stand-in completes the answer for each job.
func (r *remembering) ask(ctx context.Context, s Statement, kept func() map[Statement]*Result,
	run func(context.Context, Statement) (*Result, error)) (*Result, error) {
	r.mu.Lock()
	known := kept()[s]
	r.mu.Unlock()
	if known != nil {
		out := *known
		return &out, nil
	}
	answer, err := run(ctx, s)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil || answer.StatementType != "SELECT":
		r.forget()
		return answer, err
	case len(kept()) >= maxRemembered:
		r.forget()
	}
	out := *answer
	kept()[s] = &out
	return answer, nil
}

func (r *remembering) Catalog(ctx context.Context) (*Catalog, error) {
	r.mu.Lock()
	known := r.catalog
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	answer, err := r.Engine.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.catalog = answer
	return answer, nil
}
