package ansible

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"provision.internal/host"
)

// What Ansible 2.14 wrote of a playbook whose tasks change, fail, are rescued,
// ignored, skipped, loop and hide what they say.
func TestParseRecorded(t *testing.T) {
	text, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	want := Recap{
		Hosts: map[string]host.Totals{"node1": {OK: 5, Changed: 1, Failed: 1, Skipped: 1, Rescued: 1, Ignored: 1}},
		Failures: []Failure{{
			Play: "second play", Task: "loop", Host: "node1",
			Message: "non-zero return code: two is wrong",
		}},
		Changes: []Change{{Play: "first play", Task: "change", Host: "node1"}},
	}
	for name, r := range map[string]io.Reader{
		"at once":        strings.NewReader(string(text)),
		"byte by byte":   iotest.OneByteReader(strings.NewReader(string(text))),
		"among others":   strings.NewReader("{broken\n[DEPRECATION WARNING]: {}\n{}\n\n{\"a\":1}\n" + string(text) + "\nmore {\n"),
		"without indent": strings.NewReader(strings.ReplaceAll(string(text), "\n", "")),
	} {
		got, err := Parse(r)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	for n := 0; n < len(text)-2; n += 97 {
		if r, err := Parse(strings.NewReader(string(text[:n]))); !errors.Is(err, ErrNoRecap) {
			t.Fatalf("cut off after %d bytes: %v %v, want ErrNoRecap", n, r, err)
		}
	}
	broken := errors.New("the connection broke")
	if _, err := Parse(io.MultiReader(strings.NewReader(string(text[:500])), iotest.ErrReader(broken))); err != broken {
		t.Errorf("a broken connection: %v, want it as it is", err)
	}
}

// Modules choose the types of their values.
func TestParseOddResults(t *testing.T) {
	for _, tt := range []struct{ result, want string }{
		{`{"failed":true,"msg":{"a":1}}`, "it did not say why"},
		{`{"failed":true,"msg":"MODULE FAILURE","module_stderr":"Traceback\n  File\nValueError: x\n"}`, "MODULE FAILURE: ValueError: x"},
		{`{"failed":true,"stderr":"only this"}`, "only this"},
		{`{"failed":true,"censored":"hidden","stderr":7,"changed":"maybe"}`, "it did not say why"},
		{`{"failed":true,"msg":"All items completed","results":[{"failed":false,"msg":"no"},{"failed":true,"msg":"this one"}]}`, "this one"},
		{`{"failed":true,"msg":"a\u001b[31mb\u0007\n\tc` + strings.Repeat("é", 600) + `"}`, "a[31mb c" + strings.Repeat("é", 246) + "…"},
	} {
		r, err := Parse(strings.NewReader(recapOf(`{"failures":1}`, tt.result)))
		if err != nil || len(r.Failures) != 1 || r.Failures[0].Message != tt.want {
			t.Errorf("%s: %+v %v, want %q", tt.result, r.Failures, err, tt.want)
		}
	}
}

func TestParseIsBounded(t *testing.T) {
	task := `{"task":{"name":"t"},"hosts":{"node1":{"changed":true},"node2":{"failed":true}}}`
	doc := `{"stats":{"node2":{"failures":100000}},"plays":[{"tasks":[` + strings.Repeat(task+",", 3000) + task + `],"play":{"name":"late"}}]}`
	r, err := Parse(strings.NewReader(doc))
	if err != nil || len(r.Failures) != maxEntries || len(r.Changes) != maxEntries {
		t.Errorf("%d failures, %d changes: %v, want %d each", len(r.Failures), len(r.Changes), err, maxEntries)
	}
	if r.Changes[0].Play != "late" || r.Failures[0].Play != "late" {
		t.Errorf("the play's name after its tasks: %+v", r.Changes[0])
	}
	if _, err := Parse(strings.NewReader(strings.Repeat("{\n", 1<<20))); !errors.Is(err, ErrNoRecap) {
		t.Errorf("very many braces: %v, want ErrNoRecap", err)
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("{\n{}\n" + recapOf(`{"ok":1}`, `{"failed":true,"msg":1}`)))
	f.Add([]byte(`{"plays":[],"stats":{}}`))
	f.Add([]byte(`{"plays":{},"stats":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(strings.NewReader(string(b)))
		if err != nil {
			if !errors.Is(err, ErrNoRecap) {
				t.Fatalf("Parse: %v, want ErrNoRecap", err)
			}
			return
		}
		if r.Hosts == nil || len(r.Failures) > maxEntries || len(r.Changes) > maxEntries {
			t.Fatalf("recap of %d failures and %d changes, hosts %v", len(r.Failures), len(r.Changes), r.Hosts)
		}
		for _, f := range r.Failures {
			if strings.ContainsAny(f.Message+f.Task+f.Play, "\n\x1b") || len(f.Message) > maxText+len("…") {
				t.Fatalf("message %q", f.Message)
			}
		}
	})
}
