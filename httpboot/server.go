package httpboot

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/installer"
)

// Hosts is what the server reads and changes. An unknown host is
// host.ErrUnknown; a change is durable when Change returns.
type Hosts interface {
	Host(mac host.MAC) (host.Host, error)
	Named(name string) (host.Host, error)
	Change(mac host.MAC, actor, cause string, f func(*host.Host) error) (host.Host, error)
	// Watch is signalled after changes, until stop is called.
	Watch() (changed <-chan struct{}, stop func())
}

// History keeps what happened.
type History interface {
	Record(host.Event) error
	Log(mac host.MAC, lines []string) error
}

// Images opens boot files by the SHA-256 of their content.
type Images interface {
	File(sha256 string) (*os.File, error)
}

// Kit is what the installer boots with: two images by their hashes, and what
// else its kernel is told.
type Kit struct {
	Kernel  string
	Initrd  string
	Cmdline string
	// Autoinstall: the images are those of a NETBOOT tarball, whose autoinstaller is
	// told where its configuration is.
	Autoinstall bool
}

// ErrAssembling is what Kit wraps while the installer's files are being made.
var ErrAssembling = errors.New("the installer image is being assembled")

// Server answers machines. Every field but Targets, Autoinstall, Confirm, Told and Linger must be set
// before Plain or Secure is called.
type Server struct {
	Hosts      Hosts
	History    History
	Images     Images
	Loaders    fs.FS  // network boot programs by name
	Repository string // folder of the XBPS repositories; empty when there is none
	// Packages answers for the XBPS repositories in the place of Repository, by the
	// path below boot.RepoPath.
	Packages  http.Handler
	HTTP      string // the plain server's URL as machines reach it, without a final slash
	HTTPS     string // the secure server's
	Authority *Authority

	// Kit says what the installer boots with on p. ErrAssembling makes the machine
	// ask again; any other error sends it to its disk.
	Kit func(p boot.Platform) (Kit, error)
	// Targets returns the disks of h, whose inventory is known, that an install
	// would write. When nil they are those that the grant names, else the only free
	// one.
	Targets func(h host.Host) ([]host.Disk, error)
	// Plan makes the plan of h for its disks. The server adds what it decides
	// itself: Host, MAC, Disks, FirstBoot.
	Plan func(h host.Host, disks []host.Disk) (installer.Plan, error)
	// Autoinstall configures the autoinstaller of a NETBOOT image on h, which may be
	// installed now; nil when no Kit has one.
	Autoinstall func(h host.Host) (Autoinstall, error)
	// Confirm is asked right before the grant of h is burned. An error that wraps
	// host.ErrGrant refuses it; any other has the machine ask again. It may be nil.
	Confirm func(ctx context.Context, h host.Host) error
	// Told is called with every machine that gets a boot script. It may be nil.
	Told func(host.MAC)
	// Members brings installed hosts into the cluster.
	Members Members

	Linger time.Duration // how long a machine that nobody admitted asks again; zero: not at all
	Now    func() time.Time
	Log    *slog.Logger

	told    told   // the last script of each machine
	greeted told   // the last answer to an agent's hello
	agents  agents // running installers
	refused limiter[host.MAC]
	held    held // enrolments that have nothing to be told
}

// Plain returns the handler of the plain server. Everything that it answers is
// public.
func (s *Server) Plain() http.Handler {
	mux := http.NewServeMux()
	s.route(mux, boot.ScriptPath+"{mac}", s.script)
	s.route(mux, boot.GRUBPath+"{mac}", s.grub)
	s.route(mux, "/"+boot.GRUBConfig, s.first)
	s.route(mux, boot.LoaderPath+"{name}", s.loader)
	s.route(mux, boot.ImagePath+"{hash}/{name}", s.image)
	s.route(mux, boot.RepoPath+"{path...}", s.repository)
	s.route(mux, boot.AutoinstallPath+"{mac}", s.autoinstall)
	s.route(mux, boot.AutoinstallPath+"{mac}/{word}", s.autoinstaller)
	return mux
}

// Secure returns the handler of the TLS server.
func (s *Server) Secure() http.Handler {
	mux := http.NewServeMux()
	s.routeSecure(mux, boot.AgentPath+installer.HelloPath, s.hello)
	s.routeSecure(mux, boot.AgentPath+installer.GrantPath, s.grant)
	s.routeSecure(mux, boot.AgentPath+installer.ReportPath, s.report)
	s.routeSecure(mux, boot.AgentPath+installer.FinishedPath, s.finished)
	s.routeSecure(mux, boot.AgentPath+installer.FailedPath, s.failed)
	s.routeSecure(mux, boot.EnrolPath+installer.EnrolPath, s.enrol)
	s.routeSecure(mux, boot.EnrolPath+installer.StatusPath, s.status)
	return mux
}

// NewHTTPServer returns a server for either handler that no client can hold up:
// requests are small and must come quickly, answers may take their time, since
// a thousand machines may share one wire.
func NewHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	var grub hangups
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			grub.note(r)
			h.ServeHTTP(w, r)
		}),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
		ConnState:         grub.hangup,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       75 * time.Second, // EDK2 keeps its connection between HEAD and GET
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
