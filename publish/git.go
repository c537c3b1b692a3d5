package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// ErrRevision means that there is nothing to publish under the names given: no
// repository, no such revision, or no files.
var ErrRevision = errors.New("nothing to publish")

// Revision is a commit, and the folder whose files of that commit are published.
type Revision struct {
	Dir    string // a repository, a folder in one, or a bare repository
	Commit string // its whole hash
	Date   time.Time

	// Dirty lists what is in the working tree and not in the commit, as
	// git status --short does. It is not published.
	Dirty []string
}

// Open finds the commit that revision names (HEAD, a branch, a hash…) in the
// repository that the folder dir belongs to. Its errors are ErrRevision.
func Open(ctx context.Context, dir, revision string) (Revision, error) {
	r := Revision{Dir: dir}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return r, fmt.Errorf("%w: %w", ErrRevision, err)
	case !info.IsDir():
		return r, fmt.Errorf("%w: %s is a file: name the folder that has the playbooks", ErrRevision, dir)
	case revision == "" || strings.HasPrefix(revision, "-"):
		return r, fmt.Errorf("%w: %q is no revision: name a commit, a branch or a tag", ErrRevision, revision)
	}
	if _, err := r.git(ctx, "rev-parse", "--git-dir"); err != nil {
		var said *gitError
		if errors.As(err, &said) && strings.Contains(said.text, "not a git repository") {
			return r, fmt.Errorf("%w: %s is in no Git repository: what is published is a commit; begin with git init, git add and git commit there", ErrRevision, dir)
		}
		return r, fmt.Errorf("%w: %w", ErrRevision, err) // dubious ownership: git says what to do
	}
	out, err := r.git(ctx, "show", "--no-patch", "--no-show-signature", "--format=%H %ct", revision+"^{commit}", "--")
	if err != nil {
		if _, empty := r.git(ctx, "rev-parse", "--verify", "--quiet", "HEAD"); empty != nil && revision == "HEAD" {
			return r, fmt.Errorf("%w: %s has no commit yet: git add and git commit the playbooks first", ErrRevision, dir)
		}
		return r, fmt.Errorf("%w: the repository of %s has no revision %q: git log lists what it has", ErrRevision, dir, revision)
	}
	var seconds int64
	if _, err := fmt.Sscanf(out, "%s %d", &r.Commit, &seconds); err != nil {
		return r, fmt.Errorf("git show of %s answered %q: %w", revision, out, err)
	}
	r.Date = time.Unix(seconds, 0).UTC()
	r.Dirty, err = r.dirty(ctx)
	return r, err
}

// dirty lists what differs from the commit in the working tree. There is none in
// a bare repository, and it does not belong to a commit other than HEAD.
func (r Revision) dirty(ctx context.Context) ([]string, error) {
	if inside, err := r.git(ctx, "rev-parse", "--is-inside-work-tree"); err != nil || inside != "true" {
		return nil, nil
	}
	if head, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "HEAD"); err != nil || head != r.Commit {
		return nil, nil
	}
	out, err := r.git(ctx, "status", "--porcelain", "--", ".")
	if err != nil || out == "" {
		return nil, err
	}
	return strings.Split(out, "\n"), nil
}

// gitError is what git said when it did not do as asked.
type gitError struct {
	command string
	text    string
}

func (e *gitError) Error() string { return "git " + e.command + ": " + e.text }

// git runs one command of git in the revision's folder and returns what it
// printed, without the final newline.
func (r Revision) git(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := r.stream(ctx, &out, args...)
	return strings.TrimRight(out.String(), "\n"), err
}

func (r Revision) stream(ctx context.Context, out io.Writer, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = r.Dir, gitEnvironment()
	cmd.Stdout, cmd.Stderr = out, &said
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("git is not installed on this machine: install it, since it is what reads the repository")
	case err != nil && said.Len() > 0:
		text := strings.TrimPrefix(strings.TrimSpace(said.String()), "fatal: ")
		return &gitError{args[0], text}
	case err != nil:
		return &gitError{args[0], err.Error()}
	}
	return nil
}

// gitEnvironment is this process's without what binds git to one repository: a
// hook is called with GIT_DIR, which counts from another folder than ours. The
// names are those of git rev-parse --local-env-vars, and GIT_QUARANTINE_PATH.
func gitEnvironment() []string {
	local := []string{
		"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_OBJECT_DIRECTORY",
		"GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
		"GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_QUARANTINE_PATH",
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(local, name)
	})
	// Messages are read above; the machine's attributes must not change what is
	// in an image.
	return append(env, "LC_ALL=C", "GIT_ATTR_NOSYSTEM=1", "GIT_OPTIONAL_LOCKS=0")
}
