package routertest

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Config says which router is simulated. The zero value is a reset RB3011
// with a current RouterOS, no default configuration and an admin without a
// password.
type Config struct {
	// Version is what /system/resource reports; "7.24.2" when empty. It
	// decides which menus and properties exist and how empty replies look.
	Version string
	// Clock drives timers and timestamps; real time when nil.
	Clock *Clock
	// Ethernets is the number of ports, ether1 and on; 10 when zero.
	Ethernets int
	// Users are the accounts with full rights, name to password; admin
	// without a password when nil.
	Users map[string]string
	// DeviceMode is "advanced" when empty; "home" forbids the scheduler.
	DeviceMode string
	// MaxSessions bounds the sessions of each service; 20 when zero.
	MaxSessions int
	// NoCertificate leaves api-ssl without a certificate, as a reset router
	// is: TLS then ends in the handshake until one is made and set.
	NoCertificate bool
	// Client is the address that clients have as the router sees them; that
	// of their socket when it is none.
	Client netip.Addr
	// ManagementPort is the port behind which the clients are, such as
	// "ether2"; any port that carries the frames when empty.
	ManagementPort string
}

// Router is a simulated router. Close it when done.
type Router struct {
	config  Config
	version version
	clock   *Clock
	faults  *Faults

	mu       sync.Mutex // holds for everything below
	tables   map[string]*table
	fresh    map[string]*table // as they are after a reset
	commands map[string]command
	verbs    map[string]verb
	history  []*change
	watchers []func(menu string)
	touched  []string // menus changed since the watchers were told
	sessions map[*session]bool
	lastID   int // of sessions
	dynamics dynamics

	faces     []*face
	rest      []*http.Server
	restAddr  string
	conns     map[*conn]bool
	keys      map[int]*tls.Certificate // by the id of the row
	learned   []learned
	unplugged map[string]bool // ports without a link
	started   time.Time
	closed    bool
	running   sync.WaitGroup
}

// New starts a router without network; Listen opens its API.
// It panics on a version that is none, since only a test can cause that.
func New(c Config) *Router {
	if c.Version == "" {
		c.Version = "7.24.2"
	}
	if c.Ethernets == 0 {
		c.Ethernets = 10
	}
	if c.Users == nil {
		c.Users = map[string]string{"admin": ""}
	}
	if c.DeviceMode == "" {
		c.DeviceMode = "advanced"
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 20
	}
	v, err := parseVersion(c.Version)
	if err != nil {
		panic(fmt.Sprintf("routertest: Config.Version: %v", err))
	}
	r := &Router{
		config: c, version: v, clock: c.Clock, faults: new(Faults),
		sessions: map[*session]bool{}, conns: map[*conn]bool{},
		keys: map[int]*tls.Certificate{}, unplugged: map[string]bool{}, verbs: sharedVerbs(),
		started: c.Clock.Now(),
	}
	r.faults.router = r
	r.commands = r.coreCommands()
	maps.Copy(r.commands, r.dynamicCommands())
	r.reset()
	return r
}

// reset puts the router in the state without any configuration.
func (r *Router) reset() {
	r.tables = newTables(r.version)
	r.history = nil
	r.dynamics.forget()
	r.factory()
	r.fresh = map[string]*table{}
	for path, t := range r.tables {
		r.fresh[path] = &table{menu: t.menu, rows: slices.Clone(t.rows)}
	}
	r.derive()
}

// Faults are what can be made to go wrong.
func (r *Router) Faults() *Faults { return r.faults }

// OnChange has f called after each change with the menu that was changed,
// outside of the router's lock: f may read the router.
func (r *Router) OnChange(f func(menu string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watchers = append(r.watchers, f)
}

// Rows returns what print shows of the menu, such as "/interface/bridge/port".
// It panics when there is no such menu, since only a test can cause that.
func (r *Router) Rows(menu string) []map[string]string {
	rows, err := r.Do(menu + "/print")
	if err != nil {
		panic(fmt.Sprintf("routertest: rows of %s: %v", menu, err))
	}
	return rows
}

// Do runs a command as if another administrator had typed it: for foreign rows
// and drift. The arguments are words of the API, "=name=value" or "?query". A
// command with a result of its own (add) gives it as the one row's "ret".
func (r *Router) Do(command string, args ...string) ([]map[string]string, error) {
	parsed, err := parseArgs(args)
	if err != nil {
		return nil, err
	}
	menu, verb := splitCommand(command)
	var rows []record
	r.locked(func() { rows, err = r.do(r.console(), menu, verb, parsed) })
	return rows, err
}

// console is the session of an administrator who sits at the router.
func (r *Router) console() *session {
	return &session{user: slices.Sorted(maps.Keys(r.config.Users))[0], via: "console", policy: fullPolicy}
}

// untold takes the menus that the watchers have not heard of and returns a
// function that tells them, to be called without the lock.
func (r *Router) untold() func() {
	menus, watchers := r.touched, slices.Clone(r.watchers)
	r.touched = nil
	if len(menus) > 0 {
		for c := range r.conns {
			c.tellListeners()
		}
	}
	return func() {
		for _, menu := range menus {
			for _, watch := range watchers {
				watch(menu)
			}
		}
	}
}
