package routertest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// logLimit is how many entries the log keeps in memory.
const logLimit = 1000

func logCommands() map[string]command {
	all := map[string]command{}
	for _, level := range []string{"debug", "error", "info", "warning"} {
		all["/log/"+level] = command{params: []string{"message"}, run: func(r *Router, c *call) ([]record, error) {
			message, ok := c.get("message")
			if !ok {
				return nil, trap(categoryMissing, "missing value(s) of argument(s) message")
			}
			r.log("script,"+level, message)
			return nil, nil
		}}
	}
	return all
}

// log adds an entry.
func (r *Router) log(topics, message string) {
	t := r.tables["/log"]
	t.insert(map[string]string{
		"time": r.clock.Now().UTC().Format(stamp), "topics": topics, "message": message,
	}, "")
	if len(t.rows) > logLimit {
		t.rows = slices.Delete(t.rows, 0, len(t.rows)-logLimit)
	}
}

// logChange writes who did what, in the words of 7.24: "address added by
// api:admin@192.0.2.2 (*5 = /ip address add address=…)".
func (r *Router) logChange(c *change) {
	doing := r.commandOf(c)
	if c.what == "add" && len(c.edits) == 1 {
		doing = formatID(c.edits[0].after.id) + " = " + doing
	}
	by := c.by.who()
	if c.what != "add" {
		by += fmt.Sprintf("/action:%d", c.number)
	}
	r.log("system,info", fmt.Sprintf("%s %s by %s (%s)", r.noun(c.menu), pastOf(c.what), by, doing))
}

// noun is what the router calls a row of the menu.
func (r *Router) noun(menu string) string {
	switch menu {
	case "/ip/firewall/filter":
		return "filter rule"
	case "/ip/firewall/nat":
		return "nat rule"
	case "/interface/bridge/port":
		return "bridge port"
	case "/interface/bridge/vlan":
		return "bridge vlan"
	case "/ip/dns/static":
		return "static dns entry"
	case "/system/scheduler":
		return "scheduled script"
	}
	return menu[strings.LastIndexByte(menu, '/')+1:]
}

func pastOf(what string) string {
	switch what {
	case "add":
		return "added"
	case "remove":
		return "removed"
	case "move":
		return "moved"
	}
	return "changed"
}

// commandOf writes a change as a command line.
func (r *Router) commandOf(c *change) string {
	line := strings.ReplaceAll(c.menu, "/", " ")[1:] + " " + c.what
	if len(c.edits) == 0 {
		return "/" + line
	}
	e := c.edits[0]
	t := r.tables[e.menu]
	if e.before != nil && t.kind != "single" {
		ids := make([]string, len(c.edits))
		for i, one := range c.edits {
			ids[i] = formatID(one.before.id)
		}
		line += " " + strings.Join(ids, ",")
	}
	if e.after == nil || c.what == "move" {
		return "/" + line
	}
	for _, p := range t.props {
		kept, set := e.after.fields[p.name]
		switch {
		case !set || p.flag("ro"):
			continue
		case e.before != nil && e.before.fields[p.name] == kept:
			continue
		case e.before == nil && p.has && kept == p.preset:
			continue
		case p.flag("secret"):
			line += " " + p.name + "=*****"
			continue
		}
		line += " " + p.name + "=" + consoleWord(r, p, kept)
	}
	return "/" + line
}

// consoleWord writes a property's value as the console takes it.
func consoleWord(r *Router, p *prop, kept string) string {
	shown := p.kind.show(r, kept)
	if _, truth := p.kind.(boolKind); truth {
		shown = map[string]string{"true": "yes", "false": "no"}[shown]
	}
	return quoteWord(shown)
}

// quoteWord writes a value so that the console reads it as that.
func quoteWord(text string) string {
	if text != "" && strings.IndexFunc(text, func(c rune) bool { return c > 127 || !inWord(byte(c)) }) < 0 {
		return text
	}
	var quoted strings.Builder
	quoted.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\' || c == '$':
			quoted.WriteString(`\` + string(rune(c)))
		case c == '\r':
			quoted.WriteString(`\r`)
		case c == '\n':
			quoted.WriteString(`\n`)
		case c < ' ' || c == 127:
			quoted.WriteString(`\` + strings.ToUpper(strconv.FormatInt(int64(c)+0x100, 16)[1:]))
		default:
			quoted.WriteByte(c)
		}
	}
	quoted.WriteByte('"')
	return quoted.String()
}
