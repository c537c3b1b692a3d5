package routertest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// session is who asks: a connection, the console (Do), a script or a timer.
type session struct {
	id     int
	user   string
	via    string // "api-ssl", "rest-api", "console", "script", "scheduler"
	policy string // what it may do, comma separated: "read,write,policy,test,…"
	remote netip.AddrPort
	since  time.Time
	conn   *conn // nil for what has no connection
	// wait is how a script of this console waits; nil: with the lock free.
	wait  func(time.Duration) error
	depth int // of scripts that run each other
}

// fullPolicy is what the group "full" may do.
const fullPolicy = "local,telnet,ssh,ftp,reboot,read,write,policy,test,winbox,password,web,sniff,sensitive,api,romon,rest-api"

// may tells whether the session's policy has the word.
func (s *session) may(word string) bool {
	return strings.Contains(","+s.policy+",", ","+word+",")
}

// arg is a word of a command: a property with its value, or a query, whose
// name is "?" and whose value is the rest of the word.
type arg struct{ name, value string }

// call is a command on its way through do.
type call struct {
	session *session
	table   *table // of the menu; nil where a menu holds commands alone
	menu    string
	verb    string
	args    []arg
}

// get returns the last value of an argument.
func (c *call) get(name string) (string, bool) {
	for i := len(c.args) - 1; i >= 0; i-- {
		if c.args[i].name == name {
			return c.args[i].value, true
		}
	}
	return "", false
}

// command is a command of one menu that isn't a verb on rows. It runs with the
// router's lock held. The words that it takes are listed, so that unknown ones
// are refused before.
type command struct {
	params []string
	needs  string // the policy that it takes; "write" when empty
	run    func(r *Router, c *call) ([]record, error)
}

// splitCommand cuts "/ip/address/add" into "/ip/address" and "add".
func splitCommand(text string) (menu, verb string) {
	text = strings.ReplaceAll(strings.TrimSuffix(text, "/"), " ", "/")
	at := strings.LastIndexByte(text, '/')
	if at < 0 {
		return "", text
	}
	return text[:at], text[at+1:]
}

// parseArgs reads words of the API: "=name=value" and "?query".
func parseArgs(words []string) ([]arg, error) {
	var args []arg
	for _, word := range words {
		if query, ok := strings.CutPrefix(word, "?"); ok {
			args = append(args, arg{"?", query})
			continue
		}
		rest, ok := strings.CutPrefix(word, "=")
		if !ok {
			return nil, fmt.Errorf("word %q: want =NAME=VALUE or ?QUERY", word)
		}
		name, value, _ := strings.Cut(rest, "=")
		args = append(args, arg{name, value})
	}
	return args, nil
}

// do is the one entry for every command: of the API, of scripts and timers, of
// Do. The caller holds the lock. A command with a result of its own gives it
// as the one record's "ret".
func (r *Router) do(s *session, menu, verb string, args []arg) ([]record, error) {
	c := &call{session: s, table: r.tables[menu], menu: menu, verb: verb, args: args}
	if special, ok := r.commands[menu+"/"+verb]; ok {
		need := special.needs
		if need == "" {
			need = "write"
		}
		if !s.may(need) {
			return nil, errNoPermission
		}
		if err := c.know(special.params); err != nil {
			return nil, err
		}
		return special.run(r, c)
	}
	if c.table == nil && !r.isPrefix(menu) {
		return nil, errNoPrefix
	}
	v, ok := r.verbs[verb]
	if c.table == nil || !ok || !c.table.has(verb) {
		return nil, errNoCommand
	}
	if need := v.policy(c.table); !s.may(need) {
		return nil, errNoPermission
	}
	if err := c.know(r.params(menu, verb)); err != nil {
		return nil, err
	}
	if menu == "/interface" && !v.reads {
		return r.onEachInterface(c)
	}
	return v.run(r, c)
}

// know refuses arguments that are not among the known ones.
func (c *call) know(known []string) error {
	for _, a := range c.args {
		if a.name != "?" && !slices.Contains(known, a.name) {
			return trap(categoryMissing, "unknown parameter %s", a.name)
		}
	}
	return nil
}

// isPrefix tells whether the path leads to menus or commands, as /ip does.
func (r *Router) isPrefix(path string) bool {
	if r.tables[path] != nil {
		return true
	}
	for menu := range r.tables {
		if strings.HasPrefix(menu, path+"/") {
			return true
		}
	}
	for name := range r.commands {
		if strings.HasPrefix(name, path+"/") {
			return true
		}
	}
	return false
}

// params lists the arguments that a command takes.
func (r *Router) params(menu, verb string) []string {
	if special, ok := r.commands[menu+"/"+verb]; ok {
		return special.params
	}
	t := r.tables[menu]
	if t == nil {
		return nil
	}
	names := slices.Clone(r.verbs[verb].params)
	if verb == "add" || verb == "set" {
		for _, p := range t.props {
			if !p.flag("ro") {
				names = append(names, p.name)
			}
		}
	}
	if verb == "add" && t.flag("ordered") {
		names = append(names, "place-before")
	}
	return names
}
