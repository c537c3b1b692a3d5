package ros

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-routeros/routeros/v3"
)

// Row is one row or the arguments of one call: properties and their values as
// RouterOS writes them. ".id" is the row's own.
type Row map[string]string

// Conn is a session. Its calls run one after another, also from several
// goroutines. After ErrLost it is dead: every further call is ErrNotSent.
type Conn struct {
	client  *routeros.Client
	guard   *guard
	timeout time.Duration
	secrets func() []string // a function, so that no way of printing a Conn shows them
	calls   atomic.Int64
	closed  atomic.Bool

	mu sync.Mutex // held during a call
}

func session(conn net.Conn, timeout time.Duration, password string) *Conn {
	g := newGuard(conn)
	client, _ := routeros.NewClient(g)        // it has no error to return
	client.SetLogHandler(slog.DiscardHandler) // its debug log prints the password
	return &Conn{client: client, guard: g, timeout: timeout, secrets: func() []string { return []string{password} }}
}

// Run sends a command such as "/system/identity/set" with words such as
// "=name=x", and returns the rows of the reply. The error wraps a *Trap when
// the router refused, ErrNotSent when nothing was sent, and otherwise ErrLost.
func (c *Conn) Run(ctx context.Context, command string, words ...string) ([]Row, error) {
	reply, err := c.call(ctx, command, words)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(reply.Re))
	for i, re := range reply.Re {
		rows[i] = re.Map
	}
	return rows, nil
}

// Call is Run for commands that answer with a value and no rows: it returns
// the properties of the reply's end, "ret" in most cases.
func (c *Conn) Call(ctx context.Context, command string, words ...string) (Row, error) {
	reply, err := c.call(ctx, command, words)
	if err != nil {
		return nil, err
	}
	return reply.Done.Map, nil
}

// Print returns the rows of a menu such as "/interface/bridge/port", with the
// properties named and always ".id"; all properties when none are named. Query
// words are as in "?disabled=no".
func (c *Conn) Print(ctx context.Context, menu string, props []string, query ...string) ([]Row, error) {
	words := make([]string, 0, 1+len(query))
	if len(props) > 0 {
		if !slices.Contains(props, ".id") {
			props = append([]string{".id"}, props...)
		}
		words = append(words, "=.proplist="+strings.Join(props, ","))
	}
	return c.Run(ctx, menu+"/print", append(words, query...)...)
}

// Add adds a row and returns its id. The field "place-before" puts it before
// another in an ordered menu.
func (c *Conn) Add(ctx context.Context, menu string, fields Row) (id string, err error) {
	done, err := c.Call(ctx, menu+"/add", assignments(fields)...)
	return done["ret"], err
}

// Set changes fields of the row with id, or of a menu that has one row only
// when id is empty.
func (c *Conn) Set(ctx context.Context, menu, id string, fields Row) error {
	words := assignments(fields)
	if id != "" {
		words = append([]string{"=.id=" + id}, words...)
	}
	_, err := c.Call(ctx, menu+"/set", words...)
	return err
}

// Remove removes the row with id.
func (c *Conn) Remove(ctx context.Context, menu, id string) error {
	_, err := c.Call(ctx, menu+"/remove", "=.id="+id)
	return err
}

// Move puts the row with id before another, or at the end when before is empty.
func (c *Conn) Move(ctx context.Context, menu, id, before string) error {
	words := []string{"=numbers=" + id}
	if before != "" {
		words = append(words, "=destination="+before)
	}
	_, err := c.Call(ctx, menu+"/move", words...)
	return err
}

// Calls is the number of calls sent, the login among them.
func (c *Conn) Calls() int { return int(c.calls.Load()) }

// LocalAddr is the appliance's end of the session.
func (c *Conn) LocalAddr() net.Addr { return c.guard.LocalAddr() }

// RemoteAddr is the router's end of the session.
func (c *Conn) RemoteAddr() net.Addr { return c.guard.RemoteAddr() }

// Close ends the session, and a call that is under way with ErrLost.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.guard.Close()
}

func assignments(fields Row) []string {
	words := make([]string, 0, len(fields))
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		words = append(words, "="+k+"="+fields[k])
	}
	return words
}

// sendable refuses what would not be one sentence: an empty word would end it
// and begin another.
func sendable(command string, words []string) error {
	if !strings.HasPrefix(command, "/") {
		return fmt.Errorf("%q is no command: it must begin with a slash", command)
	}
	for _, w := range words {
		if !strings.HasPrefix(w, "=") && !strings.HasPrefix(w, "?") {
			return fmt.Errorf("%s: a word that is neither an attribute nor a query", command)
		}
		if len(w) > maxWord {
			return fmt.Errorf("%s: a value of %d bytes, of at most %d", command, len(w), maxWord)
		}
	}
	return nil
}

// call sends one sentence and reads the reply to it.
func (c *Conn) call(ctx context.Context, command string, words []string) (*routeros.Reply, error) {
	if err := sendable(command, words); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", command, ErrNotSent, err)
	}
	if c.closed.Load() {
		why := cmp.Or(c.guard.err, net.ErrClosed)
		return nil, fmt.Errorf("%s: %w: the session has ended: %w", command, ErrNotSent, why)
	}
	if err := c.guard.begin(); err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w: %w", command, ErrNotSent, err)
	}
	defer c.bound(ctx)()
	c.calls.Add(1)
	reply, err := c.client.RunArgs(append([]string{command}, words...))
	return c.judge(ctx, command, words, reply, err)
}

// bound makes the call end by the timeout or with the context, whichever is
// first. The function that it returns must be called after the call.
func (c *Conn) bound(ctx context.Context) (done func()) {
	c.guard.SetDeadline(time.Now().Add(c.timeout))
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.guard.SetDeadline(time.Unix(1, 0))
		close(cancelled)
	})
	return func() {
		if !stop() {
			<-cancelled // or it would end the next call
		}
	}
}

// judge turns what go-routeros says into our errors.
func (c *Conn) judge(ctx context.Context, command string, words []string, reply *routeros.Reply, err error) (*routeros.Reply, error) {
	var refusal *routeros.DeviceError
	switch {
	case c.guard.err == nil && err == nil:
		return reply, nil
	case c.guard.err == nil && errors.As(err, &refusal) && refusal.Sentence.Word == "!trap":
		return nil, c.trap(command, words, refusal.Sentence.Map)
	}
	c.guard.err = cmp.Or(c.guard.err, err)
	c.Close()
	err = c.guard.err
	switch cause := context.Cause(ctx); {
	case cause != nil:
		return nil, lost(command, cause)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, lost(command, fmt.Errorf("no whole reply within %v: %w", c.timeout, err))
	case errors.Is(err, ErrFatal):
		return nil, lost(command, fmt.Errorf("%w: %s", err, c.said(c.guard.fatal, words)))
	}
	return nil, lost(command, err)
}

func (c *Conn) trap(command string, words []string, fields map[string]string) *Trap {
	t := &Trap{Command: command, Category: -1, kind: kindOf(fields["message"])}
	t.Message = c.said(fields["message"], words)
	if n, err := strconv.Atoi(fields["category"]); err == nil {
		t.Category = n
	}
	return t
}

// said is a text of the router's for people, without what is secret.
func (c *Conn) said(text string, words []string) string {
	for _, s := range c.hidden(words) {
		if s != "" && strings.Contains(text, s) {
			return "(a message that repeats a password, left out)"
		}
	}
	return cmp.Or(printable(text), "without saying why")
}

// hidden are the login's password and the secret values of a call.
func (c *Conn) hidden(words []string) []string {
	secrets := c.secrets()
	for _, w := range words {
		name, value, _ := strings.Cut(strings.TrimPrefix(w, "="), "=")
		if secretName(name) {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

// secretName tells properties such as "password", "old-password",
// "wpa2-pre-shared-key", "tcp-md5-key" and "secret".
func secretName(name string) bool {
	return strings.Contains(name, "password") || strings.Contains(name, "passphrase") || strings.Contains(name, "secret") || strings.HasSuffix(name, "key")
}
