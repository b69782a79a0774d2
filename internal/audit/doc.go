// Package audit keeps what happened: every decision before it takes effect, every byte of an answer before the agent gets it.
//
// The journal (journal.go) is what is waited for. A process writes one append-only file at a time, DIR/journal/<time>-<pid>-<random>.bqj; Append
// returns when its record is on the disk, and one fdatasync serves everyone who waits. When a write fails the journal refuses everything after it, and with
// it the gateway does: no audit, no answer.
//
// A file (format.go) is a header and a row of frames. Each frame's record is sealed with AES-256-GCM under a key of that file, derived from the audit key,
// since records hold SQL; each frame carries the SHA-256 over the one before it and its own sealed bytes, so that nothing in the middle can be changed, moved or
// taken out. A new file of the same process carries on the chain of the last. What a crash cut off at the end is told apart from what was whole, and never
// read as a record.
//
// record.go has the records, list.go reads a folder back and joins them, verify.go checks the chain without the key.
package audit
