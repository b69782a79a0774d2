// Package audit keeps what happened: every decision before it takes effect, every byte of an answer
// before the agent gets it.
//
// The journal (journal.go) is what is waited for. A process writes one append-only file at a time,
// DIR/journal/<time>-<pid>-<random>.bqj; Append returns when its record is on the disk, and one
// fdatasync serves everyone who waits. When a write fails the journal refuses everything after it,
// and with it the gateway does: no audit, no answer.
//
// A file (format.go) is a header and a row of frames. Each frame's record is sealed with
// AES-256-GCM under a key of that file, derived from the audit key, since records hold SQL; each
// frame carries the SHA-256 over the one before it and its own sealed bytes, so that nothing in the
// middle can be changed, moved or taken out. A new file of the same process carries on the chain of
// the last.
//
// Nothing hides behind damage (scan.go, reader.go): a frame's head, its length with it, is believed
// only when its checksum fits, and where it does not the next whole frame is looked for. If there
// is one, what stands before it was damaged; if there is none, it may be what a crash cut off. It
// is never read as a record, and always said.
//
// How a file ends is known in one of three ways. Ended in order, its last frame says so. While a
// process writes it, the process holds a lock on it. After a crash the next process writes into its
// own first frame how it found the files before it (found.go): a cut after that no longer agrees
// with it, nor does a file that is gone. A file of which none is true was cut, or its process was
// killed and none has begun since.
//
// The disk is watched (room.go): below a reserve nothing new begins, and what has begun finds room.
//
// A record's text is kept small (encode.go, cut.go), and a page that is let out again stands as a
// reference to the first one, in the same file (pages.go, recording.go; references.go checks it,
// replay.go reads answers back).
//
// record.go has the records, list.go reads a folder back and joins them, verify.go checks without
// the key.
package audit
