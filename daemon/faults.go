package daemon

import (
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with the configuration.
type Fault struct {
	Key     string // path: network[0].pool.from
	Problem string // for a person, with what to do
}

func (f Fault) String() string { return f.Key + ": " + f.Problem }

// Faults are all of them, in the order in which they were found. As an error
// they are a list with one fault a line.
type Faults []Fault

func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = "  " + f.String()
	}
	head := "the configuration has one fault:"
	if len(fs) > 1 {
		head = fmt.Sprintf("the configuration has %d faults:", len(fs))
	}
	return head + "\n" + strings.Join(lines, "\n")
}

func (fs *Faults) add(key, format string, args ...any) {
	*fs = append(*fs, Fault{Key: key, Problem: fmt.Sprintf(format, args...)})
}

// take adds what a part's Validate found: joined errors, each of which begins
// with the key's path and a colon.
func (fs *Faults) take(err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			fs.take(e)
		}
		return
	}
	key, problem, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		key, problem = "configuration", err.Error()
	}
	fs.add(key, "%s", problem)
}

// err is fs as an error: nil when there is no fault.
func (fs Faults) err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}
