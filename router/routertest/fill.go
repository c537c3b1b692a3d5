package routertest

import (
	"strconv"
	"strings"
	"time"
)

// fill gives a new row what the router makes up: a name, who owns it, when.
func (r *Router) fill(c *call, fields map[string]string) error {
	t := c.table
	for _, p := range t.props {
		if stem, ok := p.flags["auto"]; ok && fields[p.name] == "" {
			fields[p.name] = t.freeName(p.name, stem)
		}
	}
	now := r.clock.Now().UTC()
	preset := func(name, value string) {
		if fields[name] == "" {
			fields[name] = value
		}
	}
	switch t.path {
	case "/system/scheduler":
		if !r.schedulerAllowed() {
			return trap(categoryGeneral, "failure: not allowed by device-mode")
		}
		preset("start-date", now.Format(time.DateOnly))
		preset("start-time", now.Format(time.TimeOnly))
		preset("policy", scriptPolicy)
		fields["owner"] = c.session.user
	case "/system/script":
		preset("policy", scriptPolicy)
		preset("owner", c.session.user)
	case "/ip/firewall/address-list":
		fields["creation-time"] = now.Format(stamp)
	case "/file":
		fields[r.fileTime()] = now.Format(stamp)
	}
	return nil
}

// scriptPolicy is what a script may do when nobody says.
const scriptPolicy = "ftp,reboot,read,write,policy,test,password,sniff,sensitive,romon"

// fileTime is the property of a file that tells its time.
func (r *Router) fileTime() string {
	if r.tables["/file"].byName["last-modified"] != nil {
		return "last-modified"
	}
	return "creation-time"
}

// freeName is the first of stem1, stem2, … that no row has.
func (t *table) freeName(prop, stem string) string {
	for n := 1; ; n++ {
		name := stem + strconv.Itoa(n)
		taken := false
		for _, one := range t.rows {
			taken = taken || one.fields[prop] == name
		}
		if !taken {
			return name
		}
	}
}

// onEachInterface carries a command of /interface out in the menus that the
// interfaces are of.
func (r *Router) onEachInterface(c *call) ([]record, error) {
	text, ok := c.get(".id")
	if !ok {
		text, ok = c.get("numbers")
	}
	if !ok {
		return nil, trap(categoryMissing, "missing =.id=")
	}
	var rest []arg
	for _, a := range c.args {
		if a.name != ".id" && a.name != "numbers" {
			rest = append(rest, a)
		}
	}
	var out []record
	for name := range strings.SplitSeq(text, ",") {
		ref, err := refKind{[]string{"/interface"}}.parse(r, "interface", name)
		if err != nil {
			return nil, errNoItem
		}
		i, _ := r.interfaceByID(ref)
		rows, err := r.do(c.session, i.menu, c.verb, append([]arg{{".id", ref}}, rest...))
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}
