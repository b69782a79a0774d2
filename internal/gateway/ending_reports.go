package gateway

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bqgate/bqgate/internal/audit"
	"github.com/bqgate/bqgate/internal/identity"
	"github.com/bqgate/bqgate/internal/sealed"
)

// endingReports are what gateways tell, in Redis, of a revocation that they have carried out, for
// whoever revoked and waits to see what was ended. The journal has the same; nothing depends on
// these.
type endingReports struct {
	redis redis.UniversalClient
	keys  *sealed.Keyring
}

const (
	reportsKept = 10 * time.Minute
	reportsMost = 1000
)

func (e endingReports) key(r identity.Revocation) string {
	sum := e.keys.Name("revoked subject ended", r.Key(), strconv.FormatInt(r.At.UnixMilli(), 10))
	return "bqgate:revoked-subject-ended:" + hex.EncodeToString(sum[:])
}

// add tells what was ended.
func (e endingReports) add(ctx context.Context, r identity.Revocation, done audit.Session) error {
	key := e.key(r)
	text, err := e.keys.Seal(key, done)
	if err != nil {
		return err
	}
	_, err = e.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.RPush(ctx, key, text)
		p.LTrim(ctx, key, -reportsMost, -1)
		p.Expire(ctx, key, reportsKept)
		return nil
	})
	return err
}

// read is what gateways have told. What is planted is passed over.
func (e endingReports) read(ctx context.Context, r identity.Revocation) ([]audit.Session, error) {
	key := e.key(r)
	texts, err := e.redis.LRange(ctx, key, 0, reportsMost).Result()
	if err != nil && !strings.HasPrefix(err.Error(), "WRONGTYPE") {
		return nil, fmt.Errorf("read what gateways have ended: %w", err)
	}
	var all []audit.Session
	for _, text := range texts {
		var done audit.Session
		if e.keys.Open(key, text, &done) == nil {
			all = append(all, done)
		}
	}
	return all, nil
}

// wait reads what gateways tell until one has, and a moment longer for others.
func (e endingReports) wait(ctx context.Context, r identity.Revocation, most, others time.Duration) ([]audit.Session, error) {
	give := time.NewTimer(most)
	defer give.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	first := true
	for {
		all, err := e.read(ctx, r)
		if err != nil {
			return nil, err
		}
		if len(all) > 0 && first {
			first = false
			give.Reset(others)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-give.C:
			return all, nil
		case <-look.C:
		}
	}
}

// merged are the requests and jobs of several reports, each once: of a job what says most.
func merged(all []audit.Session) (requests []string, jobs []audit.EndedJob, failed []string) {
	rank := []string{audit.JobFailed, audit.JobUnknown, audit.JobDone, audit.JobCancelled}
	best := map[audit.Job]string{}
	requests, jobs, failed = []string{}, []audit.EndedJob{}, []string{}
	for _, r := range all {
		requests = append(requests, r.Requests...)
		for _, j := range r.Jobs {
			if has, ok := best[j.Job]; !ok || slices.Index(rank, j.State) > slices.Index(rank, has) {
				best[j.Job] = j.State
			}
		}
		if r.Failed != "" {
			failed = append(failed, r.Failed)
		}
	}
	for job, state := range best {
		jobs = append(jobs, audit.EndedJob{Job: job, State: state})
	}
	slices.SortFunc(jobs, func(a, b audit.EndedJob) int { return strings.Compare(a.JobID, b.JobID) })
	slices.Sort(requests)
	slices.Sort(failed)
	return slices.Compact(requests), jobs, slices.Compact(failed)
}
