package ros

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is sent and what comes back, word for word.
func TestCalls(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   func(context.Context, *Conn) (any, error)
		sent   string
		answer []string
		want   any
	}{
		{"rows", func(ctx context.Context, c *Conn) (any, error) { return c.Run(ctx, "/ip/address/print") },
			"/ip/address/print", []string{"!re|=.id=*1|=comment=a=b|=x", "!re|=.id=*2", "!done"},
			[]Row{{".id": "*1", "comment": "a=b", "x": ""}, {".id": "*2"}}},
		{"none, since 7.18", func(ctx context.Context, c *Conn) (any, error) { return c.Run(ctx, "/ip/address/print") },
			"/ip/address/print", []string{"!empty", "!done"}, []Row{}},
		{"print asks for the id", func(ctx context.Context, c *Conn) (any, error) {
			return c.Print(ctx, "/ip/address", []string{"address"}, "?disabled=no", "?#!")
		}, "/ip/address/print|=.proplist=.id,address|?disabled=no|?#!", []string{"!done"}, []Row{}},
		{"print of everything", func(ctx context.Context, c *Conn) (any, error) { return c.Print(ctx, "/ip/address", nil) },
			"/ip/address/print", []string{"!done"}, []Row{}},
		{"add", func(ctx context.Context, c *Conn) (any, error) {
			return c.Add(ctx, "/ip/address", Row{"interface": "lan0", "address": "192.0.2.1/24"})
		}, "/ip/address/add|=address=192.0.2.1/24|=interface=lan0", []string{"!done|=ret=*7F"}, "*7F"},
		{"set", func(ctx context.Context, c *Conn) (any, error) {
			return nil, c.Set(ctx, "/ip/address", "*7F", Row{"comment": ""})
		}, "/ip/address/set|=.id=*7F|=comment=", []string{"!done"}, nil},
		{"set of a menu with one row", func(ctx context.Context, c *Conn) (any, error) {
			return nil, c.Set(ctx, "/system/identity", "", Row{"name": "r"})
		}, "/system/identity/set|=name=r", []string{"!done"}, nil},
		{"remove", func(ctx context.Context, c *Conn) (any, error) { return nil, c.Remove(ctx, "/ip/address", "*7F") },
			"/ip/address/remove|=.id=*7F", []string{"!done"}, nil},
		{"move", func(ctx context.Context, c *Conn) (any, error) { return nil, c.Move(ctx, "/ip/address", "*2", "*1") },
			"/ip/address/move|=numbers=*2|=destination=*1", []string{"!done"}, nil},
		{"move to the end", func(ctx context.Context, c *Conn) (any, error) { return nil, c.Move(ctx, "/ip/address", "*2", "") },
			"/ip/address/move|=numbers=*2", []string{"!done"}, nil},
		{"a long word", func(ctx context.Context, c *Conn) (any, error) {
			return c.Call(ctx, "/x", "="+strings.Repeat("y", 20_000)+"=")
		}, "/x|=" + strings.Repeat("y", 20_000) + "=", []string{"!done|=ret=" + strings.Repeat("z", 40_000)}, Row{"ret": strings.Repeat("z", 40_000)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent string
			c := pipe(t, func(p *peer, call []string) {
				sent = strings.Join(call, "|")
				p.say(tt.answer...)
			})
			got, err := tt.call(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if sent != tt.sent {
				t.Errorf("sent %s, want %s", sent, tt.sent)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if got := c.Calls(); got != 2 {
				t.Errorf("Calls() = %d, want 2: the login and this one", got)
			}
		})
	}
}

func TestTraps(t *testing.T) {
	for message, want := range map[string]error{
		"no such item":                                                 ErrMissing,
		"no such item (4)":                                             ErrMissing,
		"no such command prefix":                                       ErrCommand,
		"no such command or directory (safe-mode)":                     ErrCommand,
		"unknown parameter router-id":                                  ErrParameter,
		"not enough permissions (9)":                                   ErrPermission,
		"failure: not allowed by device-mode":                          ErrDeviceMode,
		"failure: already have such address":                           ErrExists,
		"failure: already have interface with such name":               ErrExists,
		"failure: device already added as bridge port":                 ErrExists,
		"failure: pool with such name exists":                          ErrExists,
		"value of pvid out of range (1..4094)":                         nil,
		"input does not match any value of interface":                  nil,
		"failure: this is configured elsewhere":                        nil,
		"":                                                             nil,
		"\x1b]0;title\x07red\nnew line\xff" + strings.Repeat("é", 400): nil,
	} {
		t.Run(message, func(t *testing.T) {
			c := pipe(t, func(p *peer, call []string) {
				if call[0] == "/x" {
					p.say("!trap|=category=4|=message="+message, "!done")
				} else {
					p.say("!done|=ret=*1")
				}
			})
			_, err := c.Run(t.Context(), "/x", "=y=z")
			var trap *Trap
			if !errors.As(err, &trap) || trap.Category != 4 || trap.Command != "/x" {
				t.Fatalf("Run = %#v, want a trap of /x, category 4", err)
			}
			for _, kind := range []error{ErrMissing, ErrCommand, ErrParameter, ErrPermission, ErrDeviceMode, ErrExists, ErrLost, ErrNotSent} {
				if got := errors.Is(err, kind); got != (kind == want) {
					t.Errorf("errors.Is(%v, %v) = %v", err, kind, got)
				}
			}
			if text := err.Error(); len(text) > maxMessage+20 || strings.ContainsAny(text, "\n\x1b\x07") || text != strings.ToValidUTF8(text, "") {
				t.Errorf("the error is %q, want a short printable line", text)
			}
			if id, err := c.Add(t.Context(), "/y", nil); id != "*1" || err != nil {
				t.Errorf("after a trap: %q, %v; want the session to live on", id, err)
			}
		})
	}
}

func TestTrapWithoutCategory(t *testing.T) {
	c := pipe(t, func(p *peer, _ []string) { p.say("!trap|=message=no such item", "!done") })
	_, err := c.Run(t.Context(), "/x")
	var trap *Trap
	if !errors.As(err, &trap) || trap.Category != -1 {
		t.Errorf("Run = %#v, want a trap with category -1", err)
	}
}

// An empty word would end the sentence, and what follows would be another one.
func TestOneCallIsOneSentence(t *testing.T) {
	c := pipe(t, func(p *peer, call []string) { t.Errorf("the router got %q", call); p.say("!done") })
	for _, words := range [][]string{{""}, {"=a=b", "", "/system/reset-configuration"}, {".tag=1"}, {"bare"}, {"=a=" + strings.Repeat("x", maxWord)}} {
		if _, err := c.Run(t.Context(), "/x", words...); !errors.Is(err, ErrNotSent) {
			t.Errorf("Run with words %.60q = %v, want ErrNotSent", words, err)
		}
	}
	for _, command := range []string{"", "x", "=x"} {
		if _, err := c.Run(t.Context(), command); !errors.Is(err, ErrNotSent) {
			t.Errorf("Run(%q) = %v, want ErrNotSent", command, err)
		}
	}
}

func TestSilenceEndsTheSession(t *testing.T) {
	for name, answer := range map[string]func(*peer){
		"silence":      func(*peer) {},
		"half a reply": func(p *peer) { p.say("!re|=a=b") },
		"a slow drip": func(p *peer) {
			for _, b := range []byte(wire("!re|=a=" + strings.Repeat("x", 100))) {
				if _, err := p.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(testTimeout / 5)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := pipe(t, func(p *peer, _ []string) { answer(p) })
				begin := time.Now()
				_, err := c.Run(t.Context(), "/ip/address/print")
				if !errors.Is(err, ErrLost) || errors.Is(err, ErrNotSent) {
					t.Errorf("Run = %v, want ErrLost", err)
				}
				if took := time.Since(begin); took != testTimeout {
					t.Errorf("the call took %v of the bubble's time, want %v", took, testTimeout)
				}
				mustBeDead(t, c)
			})
		})
	}
}

func mustBeDead(t *testing.T, c *Conn) {
	t.Helper()
	before := c.Calls()
	_, err := c.Run(context.Background(), "/y")
	if !errors.Is(err, ErrNotSent) || errors.Is(err, ErrLost) || c.Calls() != before {
		t.Errorf("another call = %v, want ErrNotSent: the session must stay dead", err)
	}
}

func TestContextEndsACall(t *testing.T) {
	c := pipe(t, func(p *peer, call []string) {
		if call[0] == "/quick" {
			p.say("!done")
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Run(ctx, "/quick"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := c.Run(ctx, "/quick"); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrNotSent) {
		t.Errorf("a call with a cancelled context = %v, want ErrNotSent", err)
	}
	if _, err := c.Run(t.Context(), "/quick"); err != nil {
		t.Errorf("the next call = %v, want the session to live on: nothing was sent", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.Run(ctx, "/slow"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrLost) {
		t.Errorf("a call that its context ends = %v, want ErrLost", err)
	}
	mustBeDead(t, c)
}

// A context that is cancelled as its call ends must not end the next one.
func TestLateCancelHarmsNoOtherCall(t *testing.T) {
	c := pipe(t, func(p *peer, _ []string) { p.say("!done") })
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(cancel)
		_, err := c.Run(ctx, "/x")
		wg.Wait()
		if errors.Is(err, ErrLost) {
			c = pipe(t, func(p *peer, _ []string) { p.say("!done") })
			continue
		}
		if _, err := c.Run(t.Context(), "/x"); err != nil {
			t.Fatalf("the call after a cancelled one: %v", err)
		}
	}
}

func TestCloseEndsACall(t *testing.T) {
	begun := make(chan struct{})
	c := pipe(t, func(*peer, []string) { close(begun) })
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Run(t.Context(), "/x"); !errors.Is(err, ErrLost) {
			t.Errorf("the call under way = %v, want ErrLost", err)
		}
	})
	<-begun
	c.Close()
	wg.Wait()
	mustBeDead(t, c)
}

func TestCallsOfManyDoNotMix(t *testing.T) {
	c := pipe(t, func(p *peer, call []string) { p.say("!re|"+call[1], "!done") })
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			want := fmt.Sprint(i)
			rows, err := c.Run(t.Context(), "/x", "=n="+want)
			if err != nil || len(rows) != 1 || rows[0]["n"] != want {
				t.Errorf("call %s = %v, %v", want, rows, err)
			}
		})
	}
	wg.Wait()
}

// Whatever the other side says, and however things are printed, no error, log
// or print holds the password, nor a secret that a call carried.
func TestSecretsStayOut(t *testing.T) {
	const secret = "s3cr3t of a call"
	long := strings.Repeat(testPassword, 30)
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	old := slog.Default()
	slog.SetDefault(logger)
	defer slog.SetDefault(old)
	for _, answer := range []string{
		"!trap|=message=bad value %s|!", "!trap|=message=%s", "!fatal|%s", "!fatal|=message=%s", "%s", "!re|%s", "!re|.tag=%s", "!%s", "!done|%s", "!re|=%s",
	} {
		for _, text := range []string{testPassword, long, secret, "no such item " + secret} {
			c := pipe(t, func(p *peer, _ []string) {
				p.say(strings.TrimSuffix(strings.ReplaceAll(answer, "%s", text), "|!"))
				p.Close()
			})
			_, err := c.Run(t.Context(), "/user/set", "=password="+secret, "=numbers=admin")
			if err == nil {
				t.Fatalf("%q: no error", answer)
			}
			_, after := c.Run(t.Context(), "/x")
			d := Dialer{Address: "r:8729", User: "admin", Password: testPassword}
			logger.Info("x", "err", err, "dialer", d, "pointer", &d, "device", Device{Dialer: d}.Dialer, "conn", fmt.Sprintf("%+v %#v", c, c))
			for _, printed := range []string{err.Error(), fmt.Sprintf("%#v", err), after.Error(), log.String(),
				fmt.Sprintf("%v %+v %#v %s %q", d, d, d, d, &d), fmt.Sprintf("%+v", &Device{Dialer: d})} {
				for _, s := range []string{testPassword, `pa\"ss`, "pa\"ss", "s3cr3t"} {
					if strings.Contains(printed, s) {
						t.Errorf("answer %q with %.20q: %q holds %q", answer, text, printed, s)
					}
				}
			}
		}
	}
}
