package routertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// paper is a shell that writes down what a script does, on a few rows.
type paper struct {
	rows  map[string][]record
	calls []string
}

func (*paper) hasMenu(path string) bool {
	return slices.Contains([]string{"/ip", "/ip/address", "/ip/pool", "/interface", "/log", "/system", "/system/identity", "/system/script"}, path)
}

func (*paper) params(menu, verb string) ([]string, bool) {
	switch {
	case menu == "/log":
		return []string{"message"}, verb == "info"
	case menu == "/system/script":
		return []string{"number"}, verb == "run"
	case strings.HasPrefix(menu, "/ip/") || menu == "/interface":
		return []string{"numbers", "address", "interface", "comment", "disabled", "name"},
			slices.Contains([]string{"add", "set", "remove", "find", "print", "get"}, verb)
	case menu == "/system/identity":
		return []string{"name"}, verb == "get" || verb == "set"
	}
	return nil, false
}

func (*paper) hasProperty(_, name string) bool {
	return slices.Contains([]string{"address", "interface", "comment", "disabled", "name", "remote.as"}, name)
}

func (p *paper) do(menu, verb string, args []arg) ([]record, error) {
	if verb == "print" {
		return p.rows[menu], nil
	}
	call := menu + "/" + verb
	for _, a := range args {
		call += fmt.Sprintf(" %s=%q", a.name, a.value)
		if a.value == "refused" {
			return nil, trap(categoryGeneral, "failure: already have such address")
		}
	}
	p.calls = append(p.calls, call)
	if verb == "add" {
		return []record{{"ret": "*9"}}, nil
	}
	return nil, nil
}

func (p *paper) sleep(d time.Duration) error {
	p.calls = append(p.calls, "sleep "+d.String())
	return nil
}

func newPaper() *paper {
	return &paper{rows: map[string][]record{
		"/ip/address": {
			{".id": "*1", "address": "192.0.2.1/24", "interface": "ether1", "comment": "provision:a", "disabled": "false"},
			{".id": "*2", "address": "192.0.2.9/24", "interface": "ether2", "disabled": "true"},
			{".id": "*3", "address": "198.51.100.1/24", "interface": "ether2", "comment": "x", "disabled": "false"},
		},
		"/system/identity": {{"name": "core"}},
	}}
}

// runScript runs the source on paper and returns what it did and what it put.
func runScript(t *testing.T, p *paper, source string) (calls []string, output string, err error) {
	t.Helper()
	b, err := parseScript(source, p)
	if err != nil {
		return nil, "", err
	}
	x, _, err := interpret(b, p, map[string]value{})
	return p.calls, x.output.String(), err
}

func TestScriptCommands(t *testing.T) {
	for _, test := range []struct{ name, source, want string }{
		{"slashes", `/ip/address/add address=192.0.2.2/24 interface=ether1`, `/ip/address/add address="192.0.2.2/24" interface="ether1"`},
		{"spaces", `/ip address add address=192.0.2.2/24`, `/ip/address/add address="192.0.2.2/24"`},
		{"menu of its own line", "/ip address\nadd address=192.0.2.2/24\nset *1 disabled=yes",
			`/ip/address/add address="192.0.2.2/24"|/ip/address/set numbers="*1" disabled="yes"`},
		{"joined lines", "/ip address add \\\n    address=192.0.2.2/24 comment=\"a\\\n    b\"", `/ip/address/add address="192.0.2.2/24" comment="ab"`},
		{"escapes", `/ip/pool/set *1 comment="a\"b\\c\$d\r\n\41\_e\?"`, `/ip/pool/set numbers="*1" comment="a\"b\\c$d\r\nA e?"`},
		{"other writing", `/ip/pool/set *1 comment="Größe"`, `/ip/pool/set numbers="*1" comment="Größe"`},
		{"interpolation", `:local a 5; /ip/pool/set *1 comment="<$a $($a+1) $[:len "abc"]>"`, `/ip/pool/set numbers="*1" comment="<5 6 3>"`},
		{"find in brackets", `/ip/address/remove [find interface=ether2]`, `/ip/address/remove numbers="*2,*3"`},
		{"find where", `/ip/address/remove [find where comment="provision:a" and !disabled]`, `/ip/address/remove numbers="*1"`},
		{"find by both", `/ip/address/remove [find address="192.0.2.9/24" interface=ether2]`, `/ip/address/remove numbers="*2"`},
		{"find by expression", `/ip/address/remove [find comment~"^provision:"]`, `/ip/address/remove numbers="*1"`},
		{"find with a variable", `:local i "ether1"; /ip/address/remove [find interface=$i]`, `/ip/address/remove numbers="*1"`},
		{"find what a row doesn't have", `/ip/address/remove [find comment=""]`, `/ip/address/remove numbers="*2"`},
		{"find elsewhere", `/ip/pool/set [/ip/address/find disabled=yes] comment=z`, `/ip/pool/set numbers="*2" comment="z"`},
		{"nothing found", `/ip/address/remove [find interface=ether9]; /ip/address/set [find comment="none"] disabled=yes`, ``},
		{"guard taken", `:if ([:len [/ip/address/find where comment="none"]] = 0) do={/ip/address/add comment=none}`, `/ip/address/add comment="none"`},
		{"guard not taken", `:if ([:len [/ip/address/find where comment="x"]] = 0) do={/ip/address/add comment=x}`, ``},
		{"else", `:if ([/ip/address/get [find comment="x"] disabled]) do={/ip/address/remove *1} else={/ip/address/remove *2}`, `/ip/address/remove numbers="*2"`},
		{"get of a single menu", `/ip/pool/set *1 name=[/system/identity/get name]`, `/ip/pool/set numbers="*1" name="core"`},
		{"the id that add gives", `:local id [/ip/address/add address=192.0.2.7/24]; /ip/address/remove $id`, `/ip/address/add address="192.0.2.7/24"|/ip/address/remove numbers="*9"`},
		{"error held up", `:do {/ip/address/add comment=refused; /ip/address/remove *1} on-error={:log info "no"}; /ip/address/remove *2`,
			`/log/info message="no"|/ip/address/remove numbers="*2"`},
		{"error told", `:onerror e in={/ip/address/add comment=refused} do={:log info $e}`, `/log/info message="failure: already have such address"`},
		{"delay", `:delay 1500ms; :delay 2; delay 1m`, `sleep 1.5s|sleep 2s|sleep 1m0s`},
		{"foreach", `:foreach a in=[/ip/address/find interface=ether2] do={/ip/address/set $a disabled=no}`, `/ip/address/set numbers="*2" disabled="no"|/ip/address/set numbers="*3" disabled="no"`},
		{"for", `:for i from=1 to=3 do={/ip/pool/add name=("p" . $i)}`, `/ip/pool/add name="p1"|/ip/pool/add name="p2"|/ip/pool/add name="p3"`},
		{"while", `:local n 0; :while ($n < 2) do={:set n ($n + 1); :delay 1s}`, `sleep 1s|sleep 1s`},
		{"do while", `:local n 0; :do {:set n ($n+1); :delay 1s} while=($n<3)`, `sleep 1s|sleep 1s|sleep 1s`},
		{"return", `:if (true) do={:return 1}; /ip/address/remove *1`, ``},
		{"scope", `:local a 1; {:local a 2}; /ip/pool/add name=$a`, `/ip/pool/add name="1"`},
		{"run another", `/system/script/run cleanup`, `/system/script/run number="cleanup"`},
		{"comment", "# /ip/address/remove *1\n   # more\n:delay 1s;# last", `sleep 1s`},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls, _, err := runScript(t, newPaper(), test.source)
			if got := strings.Join(calls, "|"); got != test.want || err != nil {
				t.Errorf("%s\n did %s, error %v\nwant %s", test.source, got, err, test.want)
			}
		})
	}
}

func TestScriptExpressions(t *testing.T) {
	for source, want := range map[string]string{
		`(1 + 2 * 3)`:                               "7",
		`(7 / 2 . "x")`:                             "3x",
		`(5-3)`:                                     "2",
		`(1 < 2 && !(2 < 1))`:                       "true",
		`("b" > "a" or false)`:                      "true",
		`(1h = 01:00:00)`:                           "true",
		`(90s > 1m)`:                                "true",
		`([:pick "abcdef" 1 3])`:                    "bc",
		`([:find "abc" "c"])`:                       "2",
		`([:typeof [:find "abc" "x"]])`:             "nothing",
		`([:typeof 10])`:                            "num",
		`([:typeof "10"])`:                          "str",
		`([:typeof 192.0.2.1])`:                     "ip",
		`([:len [/ip/address/find]])`:               "3",
		`([/ip/address/print count-only])`:          "3",
		`([:tonum "12"] + 1)`:                       "13",
		`("a" in {"b";"a"})`:                        "true",
		`({a=1;b=2}->"b")`:                          "2",
		`({1;2},{3})`:                               "1;2;3",
		`("provision:x" ~ "^provision:")`:           "true",
		`(52:54:00:12:34:56 = "52:54:00:12:34:56")`: "true",
		`(1w1d . "")`:                               "1w1d",
	} {
		_, output, err := runScript(t, newPaper(), ":put "+source)
		if output != want+"\n" || err != nil {
			t.Errorf(":put %s = %q, error %v; want %q", source, output, err, want)
		}
	}
}

// Whatever the router would not read must not be read here either: nothing of
// such a script is carried out.
func TestScriptSyntaxErrors(t *testing.T) {
	for _, source := range []string{
		`/ip/address/ad address=x`,                        // no such command
		`/ip/adress/add address=x`,                        // no such menu
		`/ip/address/add adress=x`,                        // no such argument
		`/ip/address/remove [find adress=x]`,              // no such property
		`/ip/address/add address="x`,                      // quote
		"/ip/address/add comment=\"a\nb\"",                // line end in a string
		`/ip/address/add comment="\q"`,                    // escape
		`/ip/address/add comment="\4g"`,                   // half an escape
		`/ip/address/add comment="$"`,                     // nothing behind $
		`/ip/address/add comment=a b=c`,                   // argument
		`/ip/address/add comment=`,                        // no value
		`/ip/address/add comment=a#b`,                     // wants quotes
		`/ip/address/add comment="a"b`,                    // joined
		`/ip/address/add comment=a comment=b`,             // twice
		`/ip/address/add *1 *2`,                           // too many
		`:if (1 = 1) do={:delay 1s`,                       // brace
		`:if (1 = 1 do={:delay 1s}`,                       // parenthesis
		`:if (1 = 1)`,                                     // no do
		`:delay`,                                          // no value
		`:put $nobody`,                                    // undeclared
		`:set nobody 1`,                                   // undeclared
		`:local a 1; }`,                                   // brace
		`:put (a . b)`,                                    // words want quotes
		`:foreach a in=[/ip/address/find] do={}; :put $a`, // out of scope
		`frobnicate`,
		`:frobnicate`,
		`/ip/address/print sideways`,
		strings.Repeat("{", 500) + strings.Repeat("}", 500),
	} {
		p := newPaper()
		calls, _, err := runScript(t, p, "/ip/address/remove *1\n"+source)
		if fault, ok := err.(*syntaxError); !ok || fault.at.line < 2 {
			t.Errorf("%s: error %v, want one of syntax behind line 1", source, err)
		}
		if len(calls) > 0 {
			t.Errorf("%s: %q were carried out before the error of syntax", source, calls)
		}
	}
}

func TestScriptErrors(t *testing.T) {
	for source, want := range map[string]string{
		`/ip/address/add comment=refused`:           "failure: already have such address",
		`:error "no room"`:                          "no room",
		`/ip/pool/set [/ip/address/get *7 address]`: "no such item",
		`:if ("maybe") do={}`:                       "conditional not boolean",
		`:put (1 / 0)`:                              "cannot apply / to num and num",
		`:while (true) do={}`:                       "script runs without end",
		`:for i from=1 to=3 step=0 do={}`:           "invalid value for argument step",
	} {
		if _, _, err := runScript(t, newPaper(), source); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", source, err, want)
		}
	}
}

func FuzzScript(f *testing.F) {
	for _, seed := range []string{
		`:do {/ip/address/remove [find where comment="provision:a"]} on-error={}`,
		`:if ([:len [/ip/address/find address="192.0.2.1/24" interface=ether1]] = 0) do={/ip/address/add address=192.0.2.1/24} else={:log info "there"}`,
		`:foreach k,v in={a=1;"b";3} do={:put "$k=$($v + 1) $[:typeof $v]"}`,
		":local a \"\\41\\r\\n\\$\" ; # x\n:set a ($a . \"\\\n   b\"); :while ([:len $a] < 9) do={:set a ($a . 1w2d3h)}",
		`:onerror e in={:error (1 -> 2)} do={:put [:pick $e 0 2]}; :for i from=5 to=1 do={:delay 1ms}`,
		`:put (!(true && 5 > 3) or "a"~"^[" in {1,2;3})`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		p := newPaper()
		b, err := parseScript(source, p)
		if err != nil {
			if _, ok := err.(*syntaxError); !ok {
				t.Fatalf("%q: %T is no error of syntax: %v", source, err, err)
			}
			return
		}
		interpret(b, p, map[string]value{})
	})
}

// What the log and exports quote, the interpreter reads as it was.
func FuzzQuoteWord(f *testing.F) {
	for _, seed := range []string{"", "yes", "a b", `"\$[:error x]`, "\x00\r\n\t\x7f", "Größe", "$x", "a#b;c}", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		p := newPaper()
		calls, _, err := runScript(t, p, "/ip/pool/add comment="+quoteWord(word)+"; :delay 1s")
		want := []string{fmt.Sprintf("/ip/pool/add comment=%q", word), "sleep 1s"}
		if err != nil || !slices.Equal(calls, want) {
			t.Errorf("quoteWord(%q) = %s: did %q, error %v", word, quoteWord(word), calls, err)
		}
	})
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "1w2d3h4m5s": 219*time.Hour + 4*time.Minute + 5*time.Second,
		"00:10:00": 10 * time.Minute, "1d00:00:01": 24*time.Hour + time.Second, "5ms": 5 * time.Millisecond,
	} {
		got, ok := parseDuration(text)
		if got != want || !ok {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", text, got, ok, want)
		}
		if again, ok := parseDuration(formatDuration(got)); again != got || !ok {
			t.Errorf("parseDuration(formatDuration(%v)) = %v", got, again)
		}
	}
	for _, text := range []string{"", "10", "s", "1s1m", "1:2:3:4", "999999999w999999999w", "-1s"} {
		if d, ok := parseDuration(text); ok {
			t.Errorf("parseDuration(%q) = %v, want none", text, d)
		}
	}
}
