package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
)

// The driver keeps no reference to the signatures of the functions that it makes: their finalizers
// free them at some collection of garbage, while GoogleSQL goes on using them, and the process dies
// of it some hundred queries later. So no finalizer runs any more once a function is made. What the
// driver leaves to finalizers then stays: some 100 KB for each statement, which is why a process
// that has grown to maxResident ends (serve), and its parent starts another.

// maxResident bounds a process in which no finalizer runs. GoogleSQL's memory cannot grow over 4
// GiB.
const maxResident = 3 << 30

// kept tells that no finalizer runs.
var kept bool

// keepAll takes the goroutine that runs finalizers for good.
var keepAll = sync.OnceFunc(func() {
	taken := make(chan struct{})
	runtime.SetFinalizer(&struct{ _ [64]*byte }{}, func(any) {
		close(taken)
		select {}
	})
	runtime.GC()
	<-taken
	kept = true
})

// makesFunctions says whether a statement makes a function of the driver's.
func makesFunctions(kind, sql string) bool {
	switch kind {
	case "CREATE_FUNCTION", "CREATE_TABLE_FUNCTION":
		return true
	case "SCRIPT":
		return strings.Contains(strings.ToUpper(sql), "FUNCTION")
	}
	return false
}

var errOvergrown = errors.New("this process has grown, and another has to take its place")

// overgrown says whether a process in which no finalizer runs has to end. Where the system does not
// tell its size it goes on.
func overgrown() bool {
	if !kept {
		return false
	}
	text, err := os.ReadFile("/proc/self/statm")
	var size, resident int
	if _, scanned := fmt.Sscan(string(text), &size, &resident); err != nil || scanned != nil {
		return false
	}
	return resident*os.Getpagesize() > maxResident
}
