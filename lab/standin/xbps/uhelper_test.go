package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// "URL>FILE" as an autoinstaller writes it; what is not there is an error.
func TestFetch(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/config" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(r.URL.RawQuery))
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "answer")
	if err := uhelper(context.Background(), []string{"fetch", server.URL + "/config?a=b>" + file}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "a=b" {
		t.Errorf("the file holds %q (%v)", got, err)
	}
	for _, args := range [][]string{nil, {"dance"}, {"fetch", server.URL + "/none>" + file + "2"}, {"digest", file + "3"}} {
		if err := uhelper(context.Background(), args); err == nil {
			t.Errorf("uhelper %s succeeded", strings.Join(args, " "))
		}
	}
	if _, err := os.Stat(file + "2"); err == nil {
		t.Error("what was not there has a file")
	}
}
