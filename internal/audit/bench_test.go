package audit

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// BenchmarkBaselineWriteFdatasync is the floor of a durable record: 600 bytes, one write, one sync.
func BenchmarkBaselineWriteFdatasync(b *testing.B) {
	f, err := createFile(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	record := make([]byte, 600)
	for b.Loop() {
		if _, err := f.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := f.Datasync(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchWriters(b *testing.B, writers int, r Record) {
	j := open(b, b.TempDir(), testKey(b), Options{})
	work := make(chan struct{}, writers)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range work {
				if _, err := j.Append(context.Background(), r); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

var benchDecision = Decision{ID: "d-01J9ZK4T7Q", Subject: Subject{Issuer: "https://idp.example", Sub: "repo:acme/app:ref:refs/heads/main"},
	Method: "jobs.query", Effect: EffectAllow,
	Rule: "crm/agents-read-crm", SQL: strings.Repeat("SELECT name FROM crm.customers ", 8), Tables: []string{"demo.crm.customers"}}

func BenchmarkDurableDecision1Writer(b *testing.B)   { benchWriters(b, 1, benchDecision) }
func BenchmarkDurableDecision64Writers(b *testing.B) { benchWriters(b, 64, benchDecision) }

// BenchmarkDurableFrame is the recording of a download: frames of 256 KiB of masked JSON, one after
// the other.
func BenchmarkDurableFrame(b *testing.B) {
	text := []byte(strings.Repeat(`{"f":[{"v":"182736"},{"v":"name of 92837"},{"v":"XXXXX6789"},{"v":"Berlin"}]},`, 256<<10/79))
	b.SetBytes(int64(len(text)))
	benchWriters(b, 1, Frame{Decision: "d", Bytes: text})
}

func BenchmarkList(b *testing.B) {
	dir, key := b.TempDir(), testKey(b)
	j := open(b, dir, key, Options{})
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for i := range 20 {
				d := benchDecision
				d.ID += strings.Repeat("x", w) + strings.Repeat("y", i)
				if _, err := j.Append(context.Background(), d); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if l, err := List(dir, key); err != nil || len(l.Entries) != 1000 {
			b.Fatal(len(l.Entries), err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "records/s")
}
