package ansible

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
)

// result is what one task says of one host. Modules choose the types of their
// values, so that only those are looked at which have the expected one.
type result struct {
	Changed      loose[bool]
	Failed       loose[bool]
	Unreachable  loose[bool]
	Msg          loose[string]
	Stderr       loose[string]
	ModuleStderr loose[string] `json:"module_stderr"`
	Results      loose[[]result]
}

// loose is a value that is left out when it has another type.
type loose[T any] struct{ value T }

func (l *loose[T]) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &l.value); err != nil {
		var none T
		l.value = none
	}
	return nil
}

// message is what a failed task says, as one line. Of a loop it is what its
// first failed turn says.
func (r result) message() string {
	for _, turn := range r.Results.value {
		if turn.Failed.value {
			if m := turn.message(); m != "" {
				return m
			}
		}
	}
	msg := r.Msg.value
	for _, more := range []string{r.Stderr.value, r.ModuleStderr.value} {
		// "non-zero return code" and "MODULE FAILURE" do not say why.
		if more = strings.TrimSpace(more); more != "" && !strings.Contains(msg, more) {
			last := more[strings.LastIndexByte(more, '\n')+1:]
			msg = strings.TrimSpace(msg + ": " + last)
			break
		}
	}
	if msg = text(strings.TrimPrefix(msg, ": ")); msg == "" {
		return "it did not say why"
	}
	return msg
}

// maxText bounds what is kept of one text, in bytes.
const maxText = 500

// text is s as one bounded line without what would upset a terminal.
func text(s string) string {
	if len(s) > 4*maxText {
		s = s[:4*maxText]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, "�"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		cut := bytes.ToValidUTF8([]byte(s[:maxText]), nil)
		s = string(cut) + "…"
	}
	return s
}
