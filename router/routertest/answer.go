package routertest

import (
	"errors"
	"strconv"
)

// answerWriter writes the sentences of one answer.
type answerWriter struct {
	*reply
	empty bool // the version says !empty
}

func (a *answerWriter) say(words ...string) {
	if a.tag != "" {
		words = append(words, ".tag="+a.tag)
	}
	a.lines = append(a.lines, appendSentence(nil, words...))
}

func (a *answerWriter) row(rec record) {
	words := []string{"!re"}
	for _, name := range sortedNames(rec) {
		words = append(words, "="+name+"="+rec[name])
	}
	a.say(words...)
}

func (a *answerWriter) trap(err error) {
	words := []string{"!trap"}
	var t *Trap
	if errors.As(err, &t) && t.Category >= 0 {
		words = append(words, "=category="+strconv.Itoa(t.Category))
	}
	a.say(append(words, "=message="+err.Error())...)
}

// finish writes what a command gave: rows, a result of its own, or a refusal.
func (a *answerWriter) finish(rows []record, err error, shows bool) {
	switch {
	case err != nil:
		a.trap(err)
		a.say("!done")
		return
	case isResult(rows):
		a.say("!done", "=ret="+rows[0]["ret"])
		return
	case len(rows) == 0 && shows && a.empty:
		a.say("!empty")
	}
	for _, rec := range rows {
		a.row(rec)
	}
	a.say("!done")
}

// isResult tells whether the one record is a command's own result, and no row.
func isResult(rows []record) bool {
	if len(rows) != 1 || len(rows[0]) != 1 {
		return false
	}
	_, ok := rows[0]["ret"]
	return ok
}
