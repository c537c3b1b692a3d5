package publish

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	reg "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// repository is a Git repository for a test.
type repository struct {
	tb  testing.TB
	dir string
}

func newRepository(tb testing.TB) repository {
	r := repository{tb, tb.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

func (r repository) git(args ...string) string {
	r.tb.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Dir = r.dir
	cmd.Env = append(gitEnvironment(), "GIT_AUTHOR_DATE=1760000000 +0000", "GIT_COMMITTER_DATE=1760000000 +0000", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.tb.Fatalf("git %s: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r repository) write(file, text string, mode os.FileMode) {
	r.tb.Helper()
	file = filepath.Join(r.dir, file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), mode), os.Chmod(file, mode)); err != nil {
		r.tb.Fatal(err)
	}
}

func (r repository) commit() string {
	r.tb.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--message=m")
	return r.git("rev-parse", "HEAD")
}

func (r repository) open(revision string) Revision {
	r.tb.Helper()
	rev, err := Open(context.Background(), r.dir, revision)
	if err != nil {
		r.tb.Fatal(err)
	}
	return rev
}

// playbooks has the shape of a small site: 23 files.
func playbooks(tb testing.TB) repository {
	r := newRepository(tb)
	r.write("base.yml", "- hosts: all\n", 0o644)
	for i := range 22 {
		r.write(fmt.Sprintf("roles/role%d/tasks/main.yml", i), strings.Repeat("- debug: {msg: hello}\n", 20), 0o644)
	}
	r.commit()
	return r
}

// testRegistry is a registry on loopback that knows what it was asked.
type testRegistry struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
	fault func(w http.ResponseWriter, r *http.Request) bool // answers itself
}

func newRegistry(tb testing.TB) *testRegistry {
	t := &testRegistry{}
	inner := reg.New(reg.Logger(log.New(io.Discard, "", 0)))
	t.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		t.asked = append(t.asked, r.Method+" "+r.URL.Path)
		fault := t.fault
		t.mu.Unlock()
		if fault != nil && fault(w, r) {
			return
		}
		inner.ServeHTTP(w, r)
	}))
	tb.Cleanup(t.Close)
	return t
}

func (t *testRegistry) host() string { return t.Listener.Addr().String() }

// count tells how many requests began so, and forgets all.
func (t *testRegistry) count(method, path string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.asked {
		if strings.HasPrefix(a, method+" "+path) {
			n++
		}
	}
	t.asked = nil
	return n
}

func (t *testRegistry) breaks(f func(http.ResponseWriter, *http.Request) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fault = f
}

func (t *testRegistry) publisher(base string) Publisher {
	return Publisher{
		Image: t.host() + "/ansible/ansible", Base: base, Keychain: authn.NewMultiKeychain(),
		backoff: remote.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 3},
	}
}

// baseImage is two layers for linux/amd64.
func baseImage(tb testing.TB) v1.Image {
	tb.Helper()
	image, err := random.Image(4096, 2)
	if err != nil {
		tb.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		tb.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Env, config.Config.WorkingDir = []string{"ARA_API_CLIENT=http"}, "/"
	if image, err = mutate.ConfigFile(image, config); err != nil {
		tb.Fatal(err)
	}
	return image
}

func saveDocker(tb testing.TB, image v1.Image) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "base.tar")
	tag, err := name.NewTag("base:latest")
	if err == nil {
		err = tarball.WriteToFile(file, tag, image)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

func publish(tb testing.TB, p Publisher, r Revision) Published {
	tb.Helper()
	out, err := p.Publish(context.Background(), r)
	if err != nil {
		tb.Fatalf("Publish: %v", err)
	}
	return out
}

// pull returns the image under the reference.
func pull(tb testing.TB, ref string) v1.Image {
	tb.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		tb.Fatal(err)
	}
	image, err := remote.Image(r)
	if err != nil {
		tb.Fatal(err)
	}
	return image
}

// entries lists the top layer of an image, a line an entry.
func entries(tb testing.TB, image v1.Image) (all []string) {
	tb.Helper()
	layers, err := image.Layers()
	if err != nil {
		tb.Fatal(err)
	}
	r, err := layers[len(layers)-1].Uncompressed()
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			tb.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			tb.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			tb.Errorf("%s belongs to %d:%d %s, changed %s; want root and the epoch", h.Name, h.Uid, h.Gid, h.Uname, h.ModTime)
		}
		line := fmt.Sprintf("%c %04o %s", h.Typeflag, h.Mode, h.Name)
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if len(text) > 0 {
			line += " " + string(text)
		}
		all = append(all, line)
	}
}

func TestWhatIsInTheImage(t *testing.T) {
	r := newRepository(t)
	r.write("base.yml", "b", 0o600)
	r.write("bin/run", "r", 0o775)
	r.write("roles/a/tasks/main.yml", "m", 0o644)
	r.write("secret.txt", "s", 0o644)
	r.write(".dockerignore", "base.yml", 0o644)
	r.write(".gitattributes", "secret.txt export-ignore\n.gitattributes export-ignore\n", 0o644)
	r.write(strings.Repeat("long/", 60)+"ä", "ä", 0o644)
	if err := os.Symlink("../base.yml", filepath.Join(r.dir, "bin/link")); err != nil {
		t.Fatal(err)
	}
	commit := r.commit()
	r.write("base.yml", "changed", 0o644)
	r.write("forgotten.yml", "f", 0o644)

	reg := newRegistry(t)
	p := reg.publisher(saveDocker(t, baseImage(t)))
	p.Path = "/srv/playbooks"
	var notes []string
	p.Note = func(line string) { notes = append(notes, line) }
	rev := r.open("HEAD")
	if want := []string{" M base.yml", "?? forgotten.yml"}; !slices.Equal(rev.Dirty, want) {
		t.Errorf("Open: dirty are %q, want %q", rev.Dirty, want)
	}
	out := publish(t, p, rev)
	if want := p.Image + ":" + commit; out.Image != want {
		t.Errorf("published as %s, want %s", out.Image, want)
	}
	image := pull(t, out.Image)
	got := slices.DeleteFunc(entries(t, image), func(l string) bool { return strings.Contains(l, "long/") && l[0] == '5' })
	want := []string{
		"5 0755 srv/", "5 0755 srv/playbooks/", "0 0644 srv/playbooks/.dockerignore base.yml",
		"0 0644 srv/playbooks/base.yml b", "5 0755 srv/playbooks/bin/", "2 0777 srv/playbooks/bin/link -> ../base.yml",
		"0 0755 srv/playbooks/bin/run r", "0 0644 srv/playbooks/" + strings.Repeat("long/", 60) + "ä ä",
		"5 0755 srv/playbooks/roles/", "5 0755 srv/playbooks/roles/a/", "5 0755 srv/playbooks/roles/a/tasks/",
		"0 0644 srv/playbooks/roles/a/tasks/main.yml m",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the layer is not as wanted (-want +got):\n%s", diff)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.WorkingDir != "/srv/playbooks" || config.Config.Labels[labelRevision] != commit || config.Created.Unix() != 1760000000 ||
		!slices.Contains(config.Config.Env, "ARA_API_CLIENT=http") {
		t.Errorf("the image's configuration is %+v", config.Config)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "export-ignore") {
		t.Errorf("the notes are %q, want one about .dockerignore", notes)
	}
}

// The same revision is the same image on any machine, whatever its umask, its
// Git's settings and its clock say; of the next one, a single layer is new.
func TestReproducible(t *testing.T) {
	r := playbooks(t)
	base := saveDocker(t, baseImage(t))
	first, second := newRegistry(t), newRegistry(t)
	a := publish(t, first.publisher(base), r.open("main"))

	clone := repository{t, filepath.Join(t.TempDir(), "clone")}
	r.git("clone", "--quiet", "--bare", r.dir, clone.dir)
	clone.git("config", "tar.umask", "0077")
	clone.git("config", "core.autocrlf", "true")
	b := publish(t, second.publisher(base), clone.open("main"))
	if a.Digest != b.Digest {
		t.Errorf("a bare clone gave %s, want %s", b.Digest, a.Digest)
	}

	if again := publish(t, first.publisher(base), r.open("HEAD")); again.Digest != a.Digest || again.New != 0 {
		t.Errorf("published again: %+v, want no new layer and %s", again, a.Digest)
	}
	r.write("base.yml", "- hosts: none\n", 0o644)
	r.commit()
	first.count("", "")
	next := publish(t, first.publisher(base), r.open("HEAD"))
	if next.New != 1 || next.Layers != 3 || next.Files != 23 {
		t.Errorf("the next revision: %+v, want 1 new layer of 3, 23 files", next)
	}
	if n := first.count("PATCH", "/v2/ansible/ansible/blobs/uploads/"); n != 2 {
		t.Errorf("the next revision was sent with %d uploads, want 2: its layer and the configuration", n)
	}
}

func TestASubfolderIsPublishedAlone(t *testing.T) {
	r := newRepository(t)
	r.write("site/base.yml", "b", 0o644)
	r.write("README", "x", 0o644)
	r.commit()
	inner := repository{t, filepath.Join(r.dir, "site")}
	out := publish(t, newRegistry(t).publisher(saveDocker(t, baseImage(t))), inner.open("HEAD"))
	if got := entries(t, pull(t, out.Image)); !slices.Equal(got, []string{"5 0755 ansible/", "0 0644 ansible/base.yml b"}) {
		t.Errorf("the layer has %q", got)
	}
}

func BenchmarkPublish(b *testing.B) {
	r := playbooks(b)
	p := newRegistry(b).publisher(saveDocker(b, baseImage(b)))
	publish(b, p, r.open("HEAD"))
	for i := 0; b.Loop(); i++ {
		r.write("base.yml", fmt.Sprintf("# %d\n", i), 0o644)
		r.commit()
		if out := publish(b, p, r.open("HEAD")); out.New != 1 {
			b.Fatalf("%d new layers, want 1", out.New)
		}
	}
}
