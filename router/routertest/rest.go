package routertest

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// ServeREST answers GET /rest/MENU[/ID] at addr over plain HTTP until the
// router is closed: rows as JSON with every value a string, names and values
// of the query being conditions, .proplist the properties. Writing is refused.
func (r *Router) ServeREST(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(r.serveREST), ReadHeaderTimeout: 10 * time.Second}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.Join(net.ErrClosed, listener.Close())
	}
	r.rest = append(r.rest, server)
	r.restAddr = listener.Addr().String()
	r.running.Go(func() { _ = server.Serve(listener) }) // it ends by Close alone
	return nil
}

// RESTAddr is where ServeREST listens, HOST:PORT.
func (r *Router) RESTAddr() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.restAddr
}

func (r *Router) serveREST(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, password, _ := request.BasicAuth()
	account := r.tables["/user"].named(name)
	if account == nil || !account.on() || subtle.ConstantTimeCompare([]byte(account.fields["password"]), []byte(password)) == 0 {
		w.Header().Set("WWW-Authenticate", `Basic realm="Login Required"`)
		refuse(w, http.StatusUnauthorized, "")
		return
	}
	if request.Method != http.MethodGet {
		refuse(w, http.StatusMethodNotAllowed, "only GET is simulated")
		return
	}
	path := strings.TrimSuffix(strings.TrimPrefix(request.URL.Path, "/rest"), "/")
	id := ""
	if at := strings.LastIndexByte(path, '/'); r.tables[path] == nil && at >= 0 {
		path, id = path[:at], path[at+1:]
	}
	t := r.tables[path]
	if t == nil {
		refuse(w, http.StatusNotFound, "no such command or directory ("+strings.TrimPrefix(path, "/")+")")
		return
	}
	s := &session{user: name, via: "rest-api", policy: r.policyOf(account)}
	s.remote, _ = netip.ParseAddrPort(request.RemoteAddr)
	rows, err := r.do(s, path, "print", conditions(request, id))
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
	case id != "" && len(rows) == 0:
		refuse(w, http.StatusNotFound, errNoItem.Message)
	case id != "" || t.kind == "single":
		answer(w, http.StatusOK, rows[0])
	case rows == nil:
		answer(w, http.StatusOK, []record{})
	default:
		answer(w, http.StatusOK, rows)
	}
}

// conditions makes the words of print out of a request.
func conditions(request *http.Request, id string) []arg {
	var args []arg
	if id != "" {
		key := "name"
		if strings.HasPrefix(id, "*") {
			key = ".id"
		}
		args = append(args, arg{"?", key + "=" + id})
	}
	query := request.URL.Query()
	for _, name := range sortedKeys(query) {
		if name == ".proplist" {
			args = append(args, arg{name, query.Get(name)})
			continue
		}
		args = append(args, arg{"?", name + "=" + query.Get(name)})
	}
	return args
}

// refuse answers as the router words its refusals.
func refuse(w http.ResponseWriter, status int, detail string) {
	body := map[string]any{"error": status, "message": http.StatusText(status)}
	if detail != "" {
		body["detail"] = detail
	}
	answer(w, status, body)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone: nobody to tell
}
