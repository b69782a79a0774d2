package system

import (
	"testing"
	"time"
)

func TestCPUTime(t *testing.T) {
	if got, err := parseCPUTime("12 (a) b) 9) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20"); err != nil || got != 2*time.Second {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseCPUTime("12 (a) S 1"); err == nil {
		t.Error("a line without times was read")
	}
}
