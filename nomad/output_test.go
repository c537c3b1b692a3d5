package nomad

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestOutputIsBounded(t *testing.T) {
	b := &bounded{r: strings.NewReader("hello"), left: 3}
	if got, err := io.ReadAll(b); string(got) != "hel" || err != ErrOutput || b.broken != nil {
		t.Errorf("read %q: %v (%v), want what is allowed and ErrOutput", got, err, b.broken)
	}
	b = &bounded{r: strings.NewReader("hello"), left: 100}
	if got, err := io.ReadAll(b); string(got) != "hello" || err != nil || b.broken != nil {
		t.Errorf("read %q: %v (%v)", got, err, b.broken)
	}
	lost := errors.New("connection reset")
	b = &bounded{r: iotest.ErrReader(lost), left: 100}
	if _, err := io.ReadAll(b); err != lost || b.broken != lost {
		t.Errorf("read: %v, remembered %v, want both to be the connection's", err, b.broken)
	}
}
