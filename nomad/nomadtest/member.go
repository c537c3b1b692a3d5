package nomadtest

import (
	"net"
	"net/http"
	"strconv"
)

// Member is one server of the cluster, as the servers see each other.
type Member struct {
	Name    string // with the region: node1.global
	Address string // its RPC address, HOST:PORT
	Failed  bool
}

func (m Member) wire() map[string]any {
	host, port, _ := net.SplitHostPort(m.Address)
	rpc, _ := strconv.Atoi(port)
	status := "alive"
	if m.Failed {
		status = "failed"
	}
	return map[string]any{
		"Name": m.Name, "Addr": host, "Port": rpc + 1, "Status": status, "DelegateCur": 4, "DelegateMax": 5, "DelegateMin": 2,
		"ProtocolCur": 2, "ProtocolMax": 5, "ProtocolMin": 1,
		"Tags": map[string]string{
			"role": "nomad", "region": region, "dc": "dc1", "build": version, "vsn": "1", "raft_vsn": "3", "port": port, "rpc_addr": host,
		},
	}
}

// ourselves are the members of a Server that was given none.
func ourselves() []Member { return []Member{{Name: "server1." + region, Address: "127.0.0.1:4647"}} }

// Fail makes the server called name fail, or come back. A cluster without a
// majority has no leader.
func (s *Server) Fail(name string, failed bool) {
	s.init()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.members {
		if s.members[i].Name == name {
			s.members[i].Failed = failed
		}
	}
}

// leading returns the member that leads, or false without a majority.
func (s *Server) leading() (Member, bool) {
	alive := 0
	var first Member
	for _, m := range s.members {
		if !m.Failed {
			if alive++; alive == 1 {
				first = m
			}
		}
	}
	return first, 2*alive > len(s.members)
}

func (s *Server) leader(r request) (reply, error) {
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	m, _ := s.leading()
	return reply{body: m.Address}, nil
}

func (s *Server) peers(r request) (reply, error) {
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	out := []string{}
	for _, m := range s.members {
		out = append(out, m.Address)
	}
	return reply{body: out}, nil
}

func (s *Server) agentMembers(r request) (reply, error) {
	if err := s.reads(r, readNode); err != nil {
		return reply{}, err
	}
	out := []any{}
	for _, m := range s.members {
		out = append(out, m.wire())
	}
	return reply{body: map[string]any{
		"Members": out, "ServerName": s.members[0].Name, "ServerRegion": region, "ServerDC": "dc1",
	}}, nil
}

func (s *Server) regions(r request) (reply, error) {
	if r.Method != http.MethodGet {
		return reply{}, errMethod
	}
	return reply{body: []string{region}}, nil
}
