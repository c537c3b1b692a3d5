package httpboot

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"provision.internal/host"
	"provision.internal/installer"
)

// The host keeps which snapshot it was installed from; a repeat must be of the same.
func TestGrantRecordsTheSnapshot(t *testing.T) {
	r := newRig(t)
	r.admit(t, mac1, "n1", "")
	snapshot := "20260301-0a1b2c3d"
	plan := r.Plan
	r.Plan = func(h host.Host, disks []host.Disk) (installer.Plan, error) {
		p, err := plan(h, disks)
		p.Snapshot = snapshot
		return p, err
	}
	session, p := r.take(t, mac1, secret1)
	if got := r.get(t, mac1).Snapshot; got != snapshot || p.Snapshot != snapshot {
		t.Errorf("the host is of the snapshot %q, its plan of %q; want %q", got, p.Snapshot, snapshot)
	}
	q := installer.TakeGrant{Secret: secret1, UUID: uuid1, Disk: "S1"}
	if status := r.post(t, pathGrant, session, q, nil); status != http.StatusOK {
		t.Errorf("repeat: status %d, want 200", status)
	}
	snapshot = "20260302-4e5f6a7b"
	if status := r.post(t, pathGrant, session, q, nil); status != http.StatusInternalServerError {
		t.Errorf("repeat with a plan of another snapshot: status %d, want 500, so that the agent asks again", status)
	}
	if got := r.get(t, mac1).Snapshot; got != "20260301-0a1b2c3d" {
		t.Errorf("the host is now of the snapshot %q", got)
	}
}

// With a mirror, its handler has all of the repositories' paths, without their prefix.
func TestPackagesComeFromTheMirror(t *testing.T) {
	r := newRig(t)
	r.Packages = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.WriteString(w, q.URL.Path)
	})
	rec := httptest.NewRecorder()
	r.Plain().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/void/@golden/current/x86_64-repodata", nil))
	if rec.Code != http.StatusOK || rec.Body.String() != "/@golden/current/x86_64-repodata" {
		t.Errorf("status %d, the mirror was asked for %q", rec.Code, rec.Body)
	}
}
