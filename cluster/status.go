package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"provision.internal/nomad"
)

// Status is how the cluster's servers are. It holds no secret.
type Status struct {
	State   string    `json:"state"` // not asked for, founding, founded, adopted
	Asked   time.Time `json:"asked,omitzero"`
	By      string    `json:"by,omitempty"`
	Founded time.Time `json:"founded,omitzero"`
	Waits   string    `json:"waits,omitempty"`   // what founding waits for
	Trouble string    `json:"trouble,omitempty"` // why the servers cannot be asked
	Expect  int       `json:"expect,omitempty"`  // servers that there shall be
	Leader  string    `json:"leader,omitempty"`  // its address
	Servers []Member  `json:"servers,omitempty"`
	Missing []string  `json:"missing,omitempty"` // declared servers that are no living members
}

// Member is one server.
type Member struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Status  string `json:"status"` // alive, left, failed; unknown where nobody may ask
	Version string `json:"version,omitempty"`
	Leader  bool   `json:"leader"`
}

// What Status.State says.
const (
	StateNotAsked = "not asked for"
	StateFounding = "founding"
	StateFounded  = "founded"
	StateAdopted  = "adopted"
)

// statusTime bounds one look at the servers: a leaderless one takes 5 s to say so.
const statusTime = 8 * time.Second

// Status looks at the servers. One that cannot be asked is told in Trouble and
// is no error.
func (f *Founder) Status(ctx context.Context) (Status, error) {
	r := f.known()
	st := Status{Asked: r.Asked, By: r.By, Founded: r.Founded, Waits: f.Waits(), Expect: len(f.site.Servers)}
	switch {
	case !f.site.Config.Founds():
		st.State = StateAdopted
	case r.Asked.IsZero():
		st.State = StateNotAsked
		return st, nil
	case r.Founded.IsZero():
		st.State = StateFounding
	default:
		st.State = StateFounded
	}
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	err := nomad.Call(ctx, "ask the servers for their leader", func(ctx context.Context) error {
		_, err := f.open.Raw().Query("/v1/status/leader", &st.Leader, query(ctx))
		return err
	})
	if err == nil && f.Founded() {
		st.Servers, err = f.members(ctx, st.Leader)
	}
	if err != nil {
		st.Trouble = f.words(err)
	}
	for _, s := range f.site.Servers {
		if !slices.ContainsFunc(st.Servers, func(m Member) bool { return m.Name == s.Name && m.Status == "alive" }) {
			st.Missing = append(st.Missing, s.Name)
		}
	}
	return st, nil
}

// words is err for a person: a server that does not answer is called by its name,
// and is given the time that it takes to come up.
func (f *Founder) words(err error) string {
	silent, ok := errors.AsType[*nomad.SilentError](err)
	if !ok {
		return err.Error()
	}
	text := silent.Error()
	for _, s := range f.site.Servers {
		if host, _, err := net.SplitHostPort(silent.Address); err != nil || host != s.Address.String() {
			continue
		}
		text = fmt.Sprintf("%s at %s does not answer", s.Name, s.Address)
		if f.Founded() {
			text += ": " + silent.Reason()
		} else {
			text += " yet"
		}
	}
	return strings.Replace(err.Error(), silent.Error(), text, 1)
}

// members lists the servers of our region by name.
func (f *Founder) members(ctx context.Context, leader string) (list []Member, err error) {
	var got *api.ServerMembers
	err = nomad.Call(ctx, "list the servers", func(ctx context.Context) (err error) {
		got, err = f.mine.Agent().MembersOpts(query(ctx))
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range got.Members {
		if m.Tags["region"] != f.site.region() {
			continue
		}
		name := m.Name
		if cut := len(name) - len(f.site.region()) - 1; cut > 0 && name[cut:] == "."+f.site.region() {
			name = name[:cut] // Serf's names are NAME.REGION
		}
		list = append(list, Member{
			Name: name, Address: m.Addr, Status: m.Status, Version: m.Tags["build"],
			Leader: leader != "" && net.JoinHostPort(m.Addr, m.Tags["port"]) == leader,
		})
	}
	slices.SortFunc(list, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// oldest is the lowest version among the living servers.
func (f *Founder) oldest(ctx context.Context) (string, error) {
	members, err := f.members(ctx, "")
	if err != nil {
		return "", err
	}
	lowest, least := "", [2]int{}
	for _, m := range members {
		major, minor, ok := release(m.Version)
		if at := [2]int{major, minor}; m.Status == "alive" && ok && (lowest == "" || slices.Compare(at[:], least[:]) < 0) {
			lowest, least = m.Version, at
		}
	}
	if lowest == "" {
		return "", errors.New("no living server tells its version")
	}
	return lowest, nil
}

// String is the status in one line.
func (st Status) String() string {
	switch {
	case st.Trouble != "":
		return fmt.Sprintf("%s; %s", st.State, st.Trouble)
	case st.Waits != "":
		return fmt.Sprintf("%s; %s", st.State, st.Waits)
	}
	return fmt.Sprintf("%s; leader %s", st.State, cmp.Or(st.Leader, "none"))
}
