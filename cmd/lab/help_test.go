package main

import (
	"bytes"
	"strings"
	"testing"
)

// How to put real programs into the rack is found where people look.
func TestHelpTeachesTheRealPrograms(t *testing.T) {
	var said bytes.Buffer
	cmd := root()
	cmd.SetOut(&said)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"LAB_XBPS=DIR", "LAB_NOMAD=FILE", "usr/bin/xbps-install"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("lab --help does not tell of %s", want)
		}
	}
}
