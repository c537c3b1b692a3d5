package publish

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	empty, full := newRepository(t), playbooks(t)
	file := filepath.Join(full.dir, "base.yml")
	for _, tt := range []struct{ dir, revision, want string }{
		{t.TempDir(), "HEAD", "is in no Git repository"},
		{filepath.Join(t.TempDir(), "away"), "HEAD", "no such file"},
		{file, "HEAD", "is a file"},
		{empty.dir, "HEAD", "has no commit yet"},
		{full.dir, "v12", `no revision "v12"`},
		{full.dir, "", "is no revision"},
		{full.dir, "--output=x", "is no revision"},
	} {
		_, err := Open(context.Background(), tt.dir, tt.revision)
		if !errors.Is(err, ErrRevision) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Open(%s, %s) = %v, want ErrRevision with %q", tt.dir, tt.revision, err, tt.want)
		}
	}
}

func TestPublishRefuses(t *testing.T) {
	good := playbooks(t)
	base := saveDocker(t, baseImage(t))
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no archive ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	module, whiteout, nothing := newRepository(t), newRepository(t), newRepository(t)
	module.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", good.dir, "roles/other")
	module.commit()
	whiteout.write("roles/.wh.x", "", 0o644)
	whiteout.commit()
	nothing.write(".gitattributes", "* export-ignore\n", 0o644)
	nothing.commit()
	for name, tt := range map[string]struct {
		repository repository
		change     func(*Publisher)
		is         error
		want       string
	}{
		"no base":            {good, func(p *Publisher) { p.Base = "" }, ErrBase, "config.base is missing"},
		"base file away":     {good, func(p *Publisher) { p.Base = "./away.tar" }, ErrBase, "no such file"},
		"base is text":       {good, func(p *Publisher) { p.Base = text }, ErrBase, "no tar archive"},
		"base is a folder":   {good, func(p *Publisher) { p.Base = t.TempDir() }, ErrBase, "no OCI layout"},
		"base is no name":    {good, func(p *Publisher) { p.Base = "No Such" }, ErrBase, "no image in a registry either"},
		"base is unknown":    {good, func(p *Publisher) { p.Base = p.Image + ":none" }, ErrBase, "has no such image"},
		"a playbook is away": {good, func(p *Publisher) { p.Required = []string{"base.yml", "nomad.yml"} }, ErrRevision, "has no nomad.yml"},
		"submodule":          {module, nil, ErrRevision, "roles/other is a submodule"},
		"whiteout":           {whiteout, nil, ErrRevision, "rename it"},
		"no files":           {nothing, nil, ErrRevision, "has no files"},
		"path of the system": {good, func(p *Publisher) { p.Path = "/lib/ansible" }, nil, "name one of their own"},
		"path is the root":   {good, func(p *Publisher) { p.Path = "/x/.." }, nil, "name one of their own"},
		"no such platform":   {good, func(p *Publisher) { p.Base, p.Platform = saveLayout(t, baseImage(t)), "linux/arm64" }, ErrBase, "only for: linux/amd64"},
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t)
			p := reg.publisher(base)
			if tt.change != nil {
				tt.change(&p)
			}
			_, err := p.Publish(t.Context(), tt.repository.open("HEAD"))
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Publish = %v, want %v with %q", err, tt.is, tt.want)
			}
			if n := reg.count("PUT", "/v2/ansible/ansible/manifests/"); n != 0 {
				t.Errorf("%d images were tagged, want none", n)
			}
		})
	}
}

func TestAPublishedImageIsNoBase(t *testing.T) {
	r, reg := playbooks(t), newRegistry(t)
	p := reg.publisher(saveDocker(t, baseImage(t)))
	p.Base = publish(t, p, r.open("HEAD")).Image
	if _, err := p.Publish(t.Context(), r.open("HEAD")); !errors.Is(err, ErrBase) || !strings.Contains(err.Error(), "shine through") {
		t.Errorf("Publish on what was published = %v, want ErrBase", err)
	}
}

func TestRegistrySaysNo(t *testing.T) {
	r := playbooks(t)
	base := saveDocker(t, baseImage(t))
	answer := func(status int, header string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			if header != "" {
				w.Header().Set("WWW-Authenticate", header)
			}
			w.WriteHeader(status)
			return true
		}
	}
	uploads := func(f func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			return strings.Contains(r.URL.Path, "/uploads/") && f(w, r)
		}
	}
	for name, tt := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		is    error
		want  string
	}{
		"login":   {answer(http.StatusUnauthorized, `Basic realm="r"`), ErrLogin, "docker login"},
		"denied":  {uploads(answer(http.StatusForbidden, "")), ErrDenied, "right to push"},
		"refuses": {uploads(answer(http.StatusRequestEntityTooLarge, "")), nil, "refuses"},
		"broken":  {uploads(answer(http.StatusInternalServerError, "")), nil, "refuses"},
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t)
			reg.breaks(tt.fault)
			_, err := reg.publisher(base).Publish(t.Context(), r.open("HEAD"))
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Publish = %v, want %v with %q", err, tt.is, tt.want)
			}
			if n := reg.count("PUT", "/v2/ansible/ansible/manifests/"); n != 0 {
				t.Errorf("%d images were tagged, want none", n)
			}
		})
	}
}

func TestRegistryAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p := Publisher{Image: host + "/a/b", Base: "x", Keychain: authn.NewMultiKeychain()}
	if _, err := p.Publish(t.Context(), playbooks(t).open("HEAD")); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), host) {
		t.Errorf("Publish = %v, want ErrUnreachable with %s", err, host)
	}
}

func TestRegistryOfAnotherAuthority(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	p := Publisher{Image: strings.TrimPrefix(s.URL, "https://") + "/a/b", Base: "x", Keychain: authn.NewMultiKeychain()}
	_, err := p.Publish(t.Context(), playbooks(t).open("HEAD"))
	if !errors.Is(err, ErrCertificate) || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("Publish = %v, want ErrCertificate", err)
	}
}

// A password must not go out in the clear because the registry's address looks
// private.
func TestNothingGoesOutInTheClear(t *testing.T) {
	reg := newRegistry(t)
	elsewhere := func(n, a string) *http.Request {
		r, err := http.NewRequest(http.MethodGet, n+"://"+a+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	g := &guard{to: http.DefaultTransport, plain: "10.0.0.1:5000"}
	if _, err := g.RoundTrip(elsewhere("http", "10.0.0.2:5000")); !errors.Is(err, errPlain) {
		t.Errorf("plain HTTP to another registry = %v, want errPlain", err)
	}
	resp, err := g.RoundTrip(elsewhere("http", reg.host()))
	if err != nil {
		t.Fatalf("plain HTTP to this machine: %v", err)
	}
	_ = resp.Body.Close()
	private, err := name.NewRegistry("10.0.0.2:5000")
	if err != nil {
		t.Fatal(err)
	}
	if err := explain(private, errPlain); !errors.Is(err, ErrPlain) || !strings.Contains(err.Error(), "config.insecure: true") {
		t.Errorf("explain = %v, want ErrPlain and what to do", err)
	}
}

// A connection that breaks off in the middle of a layer costs that layer once
// more, and nothing else.
func TestUploadBreaksOff(t *testing.T) {
	r, reg := playbooks(t), newRegistry(t)
	p := reg.publisher(saveDocker(t, baseImage(t)))
	broken := 0
	reg.breaks(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch || broken == 2 {
			return false
		}
		broken++
		_, _ = r.Body.Read(make([]byte, 100))
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		_ = conn.Close()
		return true
	})
	out := publish(t, p, r.open("HEAD"))
	if broken != 2 || out.New != 3 {
		t.Errorf("broke off %d times and sent %d layers, want 2 and 3", broken, out.New)
	}
	if got := entries(t, pull(t, out.Image)); len(got) == 0 {
		t.Error("the image's layer is empty")
	}
}

func TestCancelledLeavesNoTag(t *testing.T) {
	r, reg := playbooks(t), newRegistry(t)
	ctx, cancel := context.WithCancel(t.Context())
	reg.breaks(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch {
			cancel()
		}
		return false
	})
	p := reg.publisher(saveDocker(t, baseImage(t)))
	if _, err := p.Publish(ctx, r.open("HEAD")); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish = %v, want it to be cancelled", err)
	}
	ref, err := name.ParseReference(p.Image + ":" + r.open("HEAD").Commit)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(ref); err == nil {
		t.Error("there is a tag")
	}
}
